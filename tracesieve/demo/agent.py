"""A simulated support agent, logged with MLflow's own tracing: agent, retriever, chat model and tool spans.

Its model endpoint starts to fail and its retriever slows down inside an *incident*, a range of time;
everything else about a trace follows from a seeded random generator, so that two demos tell the same story.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
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
        for step in _steps(call):
            clock = _log_step(root, step, clock)
        failed = call.model_fails
        answer = None if failed else _answer(call)
        root.end(outputs=answer, status="ERROR" if failed else "OK", end_time_ns=clock + int(0.02 * _NS))


@dataclass(frozen=True)
class _Step:
    """A span below the agent's, as long as its part of the call."""

    name: str
    kind: str
    seconds: float
    inputs: Any
    outputs: Any
    attributes: dict[str, Any] = field(default_factory=dict)
    error: str | None = None


def _steps(call: Call) -> Iterator[_Step]:
    """The spans of one call, one after the other."""
    found = [{"page_content": f"document {i}"} for i in range(call.documents)]
    yield _Step("search_docs", "RETRIEVER", call.retrieve_s, {"query": call.question}, found)
    for index in range(call.tool_calls):
        fails = call.tool_fails and index == 0
        yield _Step(
            "lookup_order",
            "TOOL",
            0.08,
            {"attempt": index},
            None if fails else {"status": "shipped"},
            error="TimeoutError: order service" if fails else None,
        )
    messages = {"messages": [{"role": "user", "content": call.question}]}
    attributes: dict[str, Any] = {"mlflow.llm.model": MODEL}
    if call.model_fails:
        error = "ServiceUnavailable: 503 from the model endpoint"
        yield _Step("chat_model", "CHAT_MODEL", call.model_s, messages, None, attributes, error)
        return
    cost = {"input_cost": call.tokens_in * 3e-6, "output_cost": call.tokens_out * 15e-6}
    attributes["mlflow.chat.tokenUsage"] = {
        "input_tokens": call.tokens_in,
        "output_tokens": call.tokens_out,
        "total_tokens": call.tokens_in + call.tokens_out,
    }
    attributes["mlflow.llm.cost"] = {**cost, "total_cost": sum(cost.values())}
    yield _Step("chat_model", "CHAT_MODEL", call.model_s, messages, _answer(call), attributes)


def _answer(call: Call) -> str:
    return f"Answer to: {call.question}"


def _log_step(root: Any, step: _Step, start_ns: int) -> int:
    """Log a step that begins at ``start_ns``; when it ends, ns."""
    import mlflow
    from mlflow.entities import SpanEvent

    span = mlflow.start_span_no_context(
        step.name,
        span_type=step.kind,
        parent_span=root,
        inputs=step.inputs,
        attributes=step.attributes or None,
        start_time_ns=start_ns,
    )
    end = start_ns + int(step.seconds * _NS)
    if step.error:
        span.add_event(SpanEvent("exception", end, {"exception.message": step.error}))
    span.end(outputs=step.outputs, status="ERROR" if step.error else "OK", end_time_ns=end)
    return end
