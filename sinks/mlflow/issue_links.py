"""References from traces to an issue of ours, which MLflow keeps as assessments named by the issue's id.

They are looked up before they are made, so that each is there once, and can be deleted, unlike an issue. Ours
are known by their source; those of people stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sinks.errors import Refused
from sinks.mlflow.assessments import SOURCE_ID, SOURCE_TYPE
from sinks.mlflow.server import classify_error

_PAGE = 100


class IssueLinks:
    """The references of one server; every method raises ``MlflowException`` when the server does."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._store = client._tracing_client.store

    def add(self, issue_id: str, name: str, trace_ids: Sequence[str]) -> None:
        """Link these traces; those that are gone are left out."""
        for trace_id in trace_ids:
            ours = self._present(trace_id, issue_id)
            if ours is None:
                continue
            for double in ours[1:]:
                self._store.delete_assessment(trace_id, double.assessment_id)
            if not ours:
                self._store.create_assessment(_reference(trace_id, issue_id, name))

    def remove(self, experiment_id: str, issue_id: str) -> None:
        """Unlink all traces that we linked."""
        linked, token = [], None
        while True:
            page = self._client.search_traces(
                locations=[experiment_id],
                filter_string=f"issue.id = '{issue_id}'",
                max_results=_PAGE,
                page_token=token,
                include_spans=False,
            )
            linked += page
            token = page.token
            if not token:
                break
        for trace in linked:
            for one in _of_issue(trace.info.assessments, issue_id):
                self._store.delete_assessment(trace.info.trace_id, one.assessment_id)

    def _present(self, trace_id: str, issue_id: str) -> list[Any] | None:
        """Our references of a trace to the issue; None: there is no such trace."""
        from mlflow.exceptions import MlflowException

        try:
            info = self._store.get_trace_info(trace_id)
        except MlflowException as error:
            if isinstance(classify_error(error), Refused):
                return None
            raise
        return _of_issue(info.assessments, issue_id)


def _of_issue(assessments: Sequence[Any] | None, issue_id: str) -> list[Any]:
    ours = [
        one
        for one in assessments or []
        if one.issue is not None and one.name == issue_id and one.source.source_id == SOURCE_ID
    ]
    return sorted(ours, key=lambda one: (one.create_time_ms or 0, one.assessment_id))


def _reference(trace_id: str, issue_id: str, name: str) -> Any:
    from mlflow.entities import AssessmentSource
    from mlflow.entities.assessment import IssueReference

    source = AssessmentSource(source_type=SOURCE_TYPE, source_id=SOURCE_ID)
    return IssueReference(issue_id=issue_id, issue_name=name, source=source, trace_id=trace_id)
