"""Exactly-once in effect: findings as assessments on MLflow traces; writing them again changes nothing.

Each rule that matches a trace is a feedback ``tracesieve.<rule>`` of the source CODE ``tracesieve``: its
value is the rule's category, its rationale says where the failure began and what took the time.  Ours are
known by source and name.  They are looked up before anything is written, so a delivery that a kill cut short
is finished by its repeat, and two of one name become one.  They are no content of a trace (SEMANTICS 1), so
that our own write amends nothing.

One that a person overrides stays as it is: theirs is what counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

from sinks.base import MessageKind, Outcome, Payload, Sink, SinkConfig, SinkContext
from sinks.delivery import each
from sinks.errors import RetryLater
from sinks.mlflow.config import SERVER
from sinks.mlflow.rationale import facts_of, rationale
from sinks.mlflow.server import classify_error, client
from sinks.mlflow.tags import WORKERS
from sinks.shown import Holding
from store import Store, StoreError
from store.outbox import PendingMessage

PREFIX, SOURCE_TYPE, SOURCE_ID = "tracesieve.", "CODE", "tracesieve"
_MOST_NAME = 250  # characters, as MLflow's own tables have them


class Finding(NamedTuple):
    """What one feedback says."""

    name: str
    value: str
    rationale: str


class MlflowAssessments(Sink):
    """Sets and removes the feedback of a trace."""

    name = "mlflow_assessments"
    consumes = MessageKind.FINDINGS
    withdraws = True

    def __init__(self, tracking_uri: str, store: Store) -> None:
        self._store = client(tracking_uri)._tracing_client.store
        self._facts = store

    @classmethod
    def names(cls, config: SinkConfig) -> Sequence[str]:
        """One where the config names a server and says ``assessments: true``."""
        server = config.get(SERVER.path)
        return [cls.name] if server is not None and server.assessments else []

    @classmethod
    def open(cls, context: SinkContext, name: str) -> Self | None:
        """The server of the config."""
        server = context.config.get(SERVER.path)
        return cls(server.tracking_uri, context.store) if server is not None else None

    @classmethod
    def withdrawal(cls, target: str) -> Payload:
        """No category and no rules."""
        return {"trace_id": target, "category": None, "rules": []}

    @classmethod
    def is_withdrawal(cls, payload: Payload) -> bool:
        """Whether it leaves no feedback."""
        return not payload.get("rules")

    @classmethod
    def holdings(cls, store: Store, delivered: Mapping[str, Payload]) -> Iterator[Holding]:
        """Each feedback."""
        for payload in delivered.values():
            for one in findings(payload, None):
                yield Holding("assessment", str(payload["trace_id"]), one.name, one.value)

    def deliver(self, messages: Sequence[PendingMessage]) -> list[Outcome]:
        """Make each trace's feedback of ours what its message says; the result is what was written, by name.

        Raises:
            RetryLater: MLflow cannot be reached, or the store cannot be read.
        """
        try:
            facts = facts_of(self._facts, [str(message.payload["trace_id"]) for message in messages])
        except StoreError as error:
            raise RetryLater(str(error)) from error
        return each(messages, lambda message: self._one(message, facts), workers=WORKERS)

    def _one(self, message: PendingMessage, facts: Mapping[str, Mapping[str, Any]]) -> str:
        from mlflow.exceptions import MlflowException

        trace_id = str(message.payload["trace_id"])
        wanted = {one.name: one for one in findings(message.payload, facts.get(trace_id))}
        try:
            present = self._store.get_trace_info(trace_id).assessments or []
            done = self._brought(trace_id, [one for one in present if is_ours(one)], wanted)
        except MlflowException as error:
            raise classify_error(error) from error
        return json.dumps(done, sort_keys=True)

    def _brought(self, trace_id: str, present: Sequence[Any], wanted: dict[str, Finding]) -> dict[str, str]:
        """Write what differs: ``{name: created | updated | deleted}``."""
        done: dict[str, str] = {}
        known: set[str] = set()
        for one in sorted(present, key=lambda each: (each.create_time_ms or 0, each.assessment_id)):
            finding = wanted.get(one.name)
            if finding is None or one.name in known:
                self._store.delete_assessment(trace_id, one.assessment_id)
                done.setdefault(one.name, "deleted")
                continue
            known.add(one.name)
            if one.valid is not False and (one.feedback.value, one.rationale or "") != finding[1:]:
                self._update(trace_id, one.assessment_id, finding)
                done[one.name] = "updated"
        for name in sorted(wanted.keys() - known):
            self._store.create_assessment(_feedback(trace_id, wanted[name]))
            done[name] = "created"
        return done

    def _update(self, trace_id: str, assessment_id: str, finding: Finding) -> None:
        from mlflow.entities.assessment import FeedbackValue

        self._store.update_assessment(
            trace_id,
            assessment_id,
            feedback=FeedbackValue(value=finding.value),
            rationale=finding.rationale,
        )


def findings(payload: Payload, fact: Mapping[str, Any] | None) -> list[Finding]:
    """What a message says of a trace, with what its fact knows."""
    category_of = {
        rule: category for category, rules in (payload.get("categories") or {}).items() for rule in rules
    }
    why = rationale(fact)
    return [
        Finding(f"{PREFIX}{rule}"[:_MOST_NAME], category_of.get(rule, str(payload.get("category"))), why)
        for rule in payload.get("rules") or []
    ]


def is_ours(assessment: Any) -> bool:
    """Whether we wrote it."""
    source = assessment.source
    return (
        assessment.feedback is not None
        and str(assessment.name).startswith(PREFIX)
        and source is not None
        and (str(source.source_type), source.source_id) == (SOURCE_TYPE, SOURCE_ID)
    )


def _feedback(trace_id: str, finding: Finding) -> Any:
    from mlflow.entities import AssessmentSource, Feedback

    return Feedback(
        name=finding.name,
        value=finding.value,
        rationale=finding.rationale,
        source=AssessmentSource(source_type=SOURCE_TYPE, source_id=SOURCE_ID),
        trace_id=trace_id,
    )
