"""A simulated support agent, logged with MLflow's own tracing: agent, retriever, chat model and tool spans.

Its model endpoint starts to fail and its retriever slows down inside an *incident*, a range of time;
everything else about a trace follows from a seeded random generator, so that two demos tell the same story.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

QUESTIONS = (
    "Where is my order {n}?",
    "How do I return item {n}?",
    "My invoice {n} shows the wrong address.",
    "Can I change the delivery date of order {n}?",
    "The discount code on order {n} did not work.",
    "How long is the warranty on article {n}?",
)
MODEL = "support-large"
_NS = 1_000_000_000


@dataclass(frozen=True)
class Incident:
    """From when to when (epoch seconds, UTC) the model endpoint fails and the retriever is slow."""

    from_s: float
    to_s: float

    def holds(self, at_s: float) -> bool:
        """Whether the incident is on at that time."""
        return self.from_s <= at_s < self.to_s


@dataclass(frozen=True)
class Call:
    """What one request to the agent does; durations in seconds, at which offset each span starts."""

    at_s: float
    question: str
    session: str
    retrieve_s: float
    documents: int
    tool_calls: int
    tool_fails: bool
    model_s: float
    model_fails: bool
    tokens_in: int
    tokens_out: int

    @property
    def duration_s(self) -> float:
        """From the request to the answer."""
        return self.retrieve_s + self.model_s + 0.08 * self.tool_calls + 0.02


def plan(rng: random.Random, at_s: float, incident: Incident) -> Call:
    """Draw one request that *starts* at ``at_s``."""
    trouble = incident.holds(at_s)
    number = rng.randrange(10_000, 99_999)
    return Call(
        at_s=at_s,
        question=rng.choice(QUESTIONS).format(n=number),
        session=f"session-{rng.randrange(40):03d}",
        retrieve_s=rng.uniform(6.0, 12.0) if trouble and rng.random() < 0.6 else rng.uniform(0.05, 0.4),
        documents=0 if rng.random() < 0.03 else rng.randrange(2, 6),
        tool_calls=12 if rng.random() < 0.01 else rng.choice((0, 1, 1, 2)),
        tool_fails=rng.random() < 0.02,
        model_s=rng.lognormvariate(0.0, 0.45),
        model_fails=rng.random() < (0.45 if trouble else 0.004),
        tokens_in=int(rng.lognormvariate(6.3, 0.5)) * (20 if rng.random() < 0.01 else 1),
        tokens_out=int(rng.lognormvariate(4.8, 0.5)),
    )


class Agent:
    """Logs calls to one experiment of an MLflow server; the tracking URI must be set by the caller."""

    def __init__(self, experiment_id: str) -> None:
        self._experiment_id = experiment_id

    def log(self, call: Call) -> None:
        """Log one call as a finished trace with its own start and end times."""
        import mlflow
        from mlflow.entities import SpanType

        clock = int(call.at_s * _NS)
        root = mlflow.start_span_no_context(
            "support_agent",
            span_type=SpanType.AGENT,
            inputs={"question": call.question},
            tags={"environment": "production"},
            metadata={"mlflow.trace.session": call.session},
            experiment_id=self._experiment_id,
            start_time_ns=clock,
        )
        clock = self._child(
            root,
            "search_docs",
            SpanType.RETRIEVER,
            clock,
            call.retrieve_s,
            {"query": call.question},
            [{"page_content": f"document {i}"} for i in range(call.documents)],
        )
        for index in range(call.tool_calls):
            fails = call.tool_fails and index == 0
            clock = self._child(
                root,
                "lookup_order",
                SpanType.TOOL,
                clock,
                0.08,
                {"attempt": index},
                None if fails else {"status": "shipped"},
                error="TimeoutError: order service" if fails else None,
            )
        answer = None if call.model_fails else f"Answer to: {call.question}"
        usage = {
            "input_tokens": call.tokens_in,
            "output_tokens": call.tokens_out,
            "total_tokens": call.tokens_in + call.tokens_out,
        }
        cost = {"input_cost": call.tokens_in * 3e-6, "output_cost": call.tokens_out * 15e-6}
        attributes: dict[str, Any] = {"mlflow.llm.model": MODEL}
        if not call.model_fails:
            attributes["mlflow.chat.tokenUsage"] = usage
            attributes["mlflow.llm.cost"] = {**cost, "total_cost": sum(cost.values())}
        error = "ServiceUnavailable: 503 from the model endpoint" if call.model_fails else None
        clock = self._child(
            root,
            "chat_model",
            SpanType.CHAT_MODEL,
            clock,
            call.model_s,
            {"messages": [{"role": "user", "content": call.question}]},
            answer,
            attributes,
            error,
        )
        root.end(outputs=answer, status="ERROR" if error else "OK", end_time_ns=clock + int(0.02 * _NS))

    @staticmethod
    def _child(
        root: Any,
        name: str,
        kind: str,
        clock: int,
        seconds: float,
        inputs: Any,
        outputs: Any,
        attributes: dict[str, Any] | None = None,
        error: str | None = None,
    ) -> int:
        import mlflow
        from mlflow.entities import SpanEvent

        span = mlflow.start_span_no_context(
            name, span_type=kind, parent_span=root, inputs=inputs, attributes=attributes, start_time_ns=clock
        )
        end = clock + int(seconds * _NS)
        if error:
            span.add_event(SpanEvent("exception", end, {"exception.message": error}))
        span.end(outputs=outputs, status="ERROR" if error else "OK", end_time_ns=end)
        return end
