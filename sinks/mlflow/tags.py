"""Exactly-once in effect: tags on MLflow traces; writing them again changes nothing.

``eval_candidate`` belongs to people too: one that differs from what ``tracesieve.category`` says we delivered
was set by a person and is never overwritten (SEMANTICS 22).  The order of writes keeps that true at every
instant of a crash: a changed category takes ``eval_candidate`` away first, then moves
``tracesieve.category``, then sets it anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

from sinks.delivery import Outcome, each
from sinks.errors import Refused, RetryLater
from store.outbox import PendingMessage

CANDIDATE, RULES, CATEGORY = "eval_candidate", "tracesieve.rules", "tracesieve.category"
WORKERS = 4  # beside one another: more only queue up at a server that writes to one database
_INFOS = 100  # traces in one listing call
_PATIENCE = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}


class MlflowTags:
    """Sets and removes the three tags; payload ``{trace_id, category | null, rules: [ids]}``."""

    name = "mlflow_tags"

    def __init__(self, tracking_uri: str) -> None:
        from mlflow import MlflowClient

        for (
            key,
            value,
        ) in _PATIENCE.items():  # deliveries are repeated anyway: learn quickly that a server is down
            os.environ.setdefault(key, value)
        self._client = MlflowClient(tracking_uri)
        self._store = self._client._tracing_client.store
        self._batched = True

    def deliver(self, messages: Sequence[PendingMessage]) -> list[Outcome]:
        """Make each trace's tags what its wish says; the result is the tags that were there before.

        Raises:
            RetryLater: MLflow cannot be reached.
        """
        present = self._present([str(message.payload["trace_id"]) for message in messages])
        return each(messages, lambda message: self._one(message, present), workers=WORKERS)

    def _present(self, trace_ids: Sequence[str]) -> dict[str, dict[str, str]]:
        """The tags of those traces that the server has, without their spans; empty where it has no such
        call.
        """
        from mlflow.exceptions import MlflowException

        found: dict[str, dict[str, str]] = {}
        for start in range(0, len(trace_ids) if self._batched else 0, _INFOS):
            try:
                infos = self._store.batch_get_trace_infos(list(trace_ids[start : start + _INFOS]))
            except MlflowException as error:
                told = classify_error(error)
                if isinstance(told, RetryLater) and error.error_code not in (
                    "NOT_IMPLEMENTED",
                    "ENDPOINT_NOT_FOUND",
                ):
                    raise told from error
                self._batched = False  # an older server, or Databricks: one call a trace
                break
            found |= {info.trace_id: dict(info.tags) for info in infos}
        return found

    def _one(self, message: PendingMessage, present: dict[str, dict[str, str]]) -> str:
        from mlflow.exceptions import MlflowException

        trace_id = str(message.payload["trace_id"])
        try:
            before = present.get(trace_id)
            if before is None:
                before = dict(self._store.get_trace_info(trace_id).tags)
            for change, key, value in changes(before, message.payload):
                if change == "set":
                    self._store.set_trace_tag(trace_id, key, value)
                else:
                    self._delete(trace_id, key)
        except MlflowException as error:
            raise classify_error(error) from error
        return json.dumps({key: before[key] for key in (CANDIDATE, RULES, CATEGORY) if key in before})

    def _delete(self, trace_id: str, key: str) -> None:
        """Delete a tag; one that somebody else has deleted since is gone all the same."""
        from mlflow.exceptions import MlflowException

        try:
            self._store.delete_trace_tag(trace_id, key)
        except MlflowException as error:
            if (
                error.error_code != "RESOURCE_DOES_NOT_EXIST"
                or key in self._store.get_trace_info(trace_id).tags
            ):
                raise


def changes(before: dict[str, str], payload: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The writes, in order, that bring tags from ``before`` to what the payload wishes; none if they are so
    already.
    """
    category, rules = payload.get("category"), ",".join(sorted(payload.get("rules", [])))
    ours, present = before.get(CATEGORY), before.get(CANDIDATE)
    persons = present is not None and present not in (ours, category)
    steps: list[tuple[str, str, str]] = []
    if not persons and present is not None and present != category:
        steps.append(("delete", CANDIDATE, ""))
    if not persons and category and ours != category:
        steps.append(("set", CATEGORY, category))
    if not persons and category and present != category:
        steps.append(("set", CANDIDATE, category))
    if rules and before.get(RULES) != rules:
        steps.append(("set", RULES, rules))
    if not rules and RULES in before:
        steps.append(("delete", RULES, ""))
    if ours is not None and (persons or not category):
        steps.append(("delete", CATEGORY, ""))
    return steps


def classify_error(error: Exception) -> RetryLater | Refused:
    """Whether MLflow's error is for good: a missing trace or a refused request is; a login that fails can be
    mended.
    """
    code = str(getattr(error, "error_code", ""))
    if code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND", "BAD_REQUEST"):
        return Refused(f"MLflow says {code}")
    if code in ("PERMISSION_DENIED", "UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED"):
        return RetryLater(
            f"MLflow refuses access ({code}): see MLFLOW_TRACKING_USERNAME, _PASSWORD and _TOKEN"
        )
    answered = type(error).__name__ == "RestException"
    return RetryLater(
        f"MLflow {'failed' if answered else 'cannot be reached'} ({code or type(error).__name__})",
        answered=answered,
    )
