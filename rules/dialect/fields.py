"""The names a condition may use: what each means, its type and the raw columns of a trace it is read from.

A field's ``decode`` names how the matcher turns raw columns into values (``rules/matcher/values.py``), so
that every way in (Spark, delta-rs, a rule's inline test) shares one decoding.
"""

from __future__ import annotations

from dataclasses import replace

from rules.dialect.nodes import Call, Compare, Field, Literal_, Logic, Node, Type
from rules.dialect.types import type_of

USAGE = "trace_metadata[mlflow.trace.tokenUsage]"
COST = "trace_metadata[mlflow.trace.cost]"
SPAN_USAGE = "spans.attributes[mlflow.chat.tokenUsage]"
NAME = "tags[mlflow.traceName]"
SPAN_TYPE = "spans.attributes[mlflow.spanType]"
# By MLflow's tracers of today, and by older ones.
MODEL = ("spans.attributes[mlflow.llm.model]", "spans.attributes[model]")
_CACHE_READ, _CACHE_WRITE = "json:cache_read_input_tokens", "json:cache_creation_input_tokens"

_TRACE: dict[str, tuple[Type, tuple[str, ...], str]] = {
    "trace_id": ("text", ("trace_id",), "text"),
    "request_id": ("text", ("trace_id",), "text"),
    "client_request_id": ("text", ("client_request_id",), "text"),
    "experiment": ("text", ("experiment_name", "experiment_id"), "first"),
    "experiment_id": ("text", ("experiment_id",), "text"),
    "name": ("text", (NAME,), "text"),
    "trace_name": ("text", (NAME,), "text"),
    "status": ("text", ("state",), "text"),
    "state": ("text", ("state",), "text"),
    "execution_time_ms": ("number", ("execution_duration_ms",), "duration"),
    "execution_duration_ms": ("number", ("execution_duration_ms",), "duration"),
    "timestamp_ms": ("number", ("request_time",), "time_ms"),
    "timestamp": ("number", ("request_time",), "time_ms"),
    "execution_time": ("number", ("execution_duration_ms",), "duration"),
    "end_time": ("number", ("request_time", "execution_duration_ms"), "end_ms"),
    "end_time_ms": ("number", ("request_time", "execution_duration_ms"), "end_ms"),
    "request_time": ("time", ("request_time",), "time"),
    "request": ("text", ("request",), "text"),
    "response": ("text", ("response",), "text"),
    "run_id": ("text", ("trace_metadata[mlflow.sourceRun]",), "text"),
    "session": ("text", ("trace_metadata[mlflow.trace.session]",), "text"),
    "user": ("text", ("trace_metadata[mlflow.trace.user]",), "text"),
    "model": ("text", (SPAN_TYPE, *MODEL), "first_model"),
    "tokens.input": ("number", (USAGE,), "json:input_tokens"),
    "tokens.output": ("number", (USAGE,), "json:output_tokens"),
    "tokens.total": ("number", (USAGE,), "json:total_tokens"),
    "tokens.cache_read": ("number", (USAGE,), _CACHE_READ),
    "tokens.cache_write": ("number", (USAGE,), _CACHE_WRITE),
    "cost.total": ("number", (COST,), "json:total_cost"),
}
_SPAN: dict[str, tuple[Type, tuple[str, ...], str]] = {
    "name": ("text", ("spans.name",), "text"),
    "type": ("text", (SPAN_TYPE,), "json_text"),
    "status": ("text", ("spans.status_code",), "span_status"),
    "status_message": ("text", ("spans.status_message",), "text"),
    "exception.type": ("text", ("spans.events[exception.type]",), "text"),
    "exception.message": ("text", ("spans.events[exception.message]",), "text"),
    "model": ("text", MODEL, "json_first"),
    "span_id": ("text", ("spans.span_id",), "text"),
    "parent_id": ("text", ("spans.parent_id",), "text"),
    "duration_ms": ("number", ("spans.start_time", "spans.end_time"), "span_ms"),
    "content": (
        "text",
        ("spans.attributes[mlflow.spanInputs]", "spans.attributes[mlflow.spanOutputs]"),
        "joined",
    ),
    "tokens.input": ("number", (SPAN_USAGE,), "json:input_tokens"),
    "tokens.output": ("number", (SPAN_USAGE,), "json:output_tokens"),
    "tokens.total": ("number", (SPAN_USAGE,), "json:total_tokens"),
    "tokens.cache_read": ("number", (SPAN_USAGE,), _CACHE_READ),
    "tokens.cache_write": ("number", (SPAN_USAGE,), _CACHE_WRITE),
    "inputs": ("text", ("spans.attributes[mlflow.spanInputs]",), "text"),
    "outputs": ("text", ("spans.attributes[mlflow.spanOutputs]",), "text"),
}
_PREFIXES = {
    "tags": "tags",
    "tag": "tags",
    "metadata": "trace_metadata",
    "request_metadata": "trace_metadata",
    "attribute": "",
    "attributes": "",
    "trace": "",
}
_STATES = ("OK", "ERROR", "IN_PROGRESS", "STATE_UNSPECIFIED")
WORDS = {"status": _STATES, "state": _STATES, "span.status": ("OK", "ERROR", "UNSET")}
TOKEN_MEASURES = ("tokens", "tokens.input", "tokens.output", "tokens.cache_read", "tokens.cache_write")
MEASURES = ("traces", "errors", "error_rate", "p50_ms", "p95_ms", "p99_ms", *TOKEN_MEASURES, "cost_usd")
ABSENT = ("issue", "prompt", "assessment")
KEYED = ("tags.", "metadata.", "attributes.")  # fields whose values are texts that users write
TRACE_NAMES, SPAN_NAMES = tuple(_TRACE), tuple(_SPAN)


def lookup(scope: str, parts: tuple[str, ...]) -> Field | None:
    """The field that dotted ``parts`` name where ``scope`` is bound: trace, spans or measure; None: there is
    none.
    """
    head = parts[0].lower()
    if scope == "measure":
        return measure_field(".".join(parts).lower())
    if head in ("span", "spans") and len(parts) > 1:
        return span_field(parts[1:])
    if head in ("feedback", "expectation") and len(parts) > 1 and scope == "trace":
        return assessment_field(head, ".".join(parts[1:]))
    if scope == "spans" and (found := span_field(parts)):
        return found
    return trace_field(parts)


def trace_field(parts: tuple[str, ...]) -> Field | None:
    """The field of a trace named by dotted ``parts``, or None."""
    head, rest = parts[0].lower(), ".".join(parts[1:])
    if head in ("tags", "tag", "metadata", "request_metadata") and rest:
        return Field(
            f"{'tags' if head.startswith('tag') else 'metadata'}.{rest}",
            "text",
            "trace",
            (f"{_PREFIXES[head]}[{rest}]",),
            "text",
        )
    if head in ("trace", "attribute", "attributes") and rest:
        return trace_field(parts[1:])
    name = ".".join(parts).lower()
    if name == "text":  # as in MLflow: what any span holds
        return span_field(("content",))
    if name not in _TRACE:
        return None
    type_, raw, decode = _TRACE[name]
    return Field(name, type_, "trace", raw, decode)


def span_field(parts: tuple[str, ...]) -> Field | None:
    """The field of a span named by dotted ``parts`` (without ``span.``), or None."""
    if parts[0].lower() in ("attributes", "attribute") and len(parts) > 1:
        key = ".".join(parts[1:])
        return Field(f"attributes.{key}", "text", "spans", (f"spans.attributes[{key}]",), "json_text")
    name = ".".join(parts).lower()
    if name not in _SPAN:
        return None
    type_, raw, decode = _SPAN[name]
    return Field(f"span.{name}", type_, "spans", raw, decode)


def assessment_field(kind: str, name: str) -> Field:
    """The value of a feedback or expectation of that name: one candidate an assessment, null for the
    others.
    """
    raw = ("assessments.assessment_name", f"assessments.{kind}_value")
    return Field(f"{kind}.{name}", "text", "assessments", raw, f"assessment:{name}")


def comparable(left: Node, right: Node) -> tuple[Node, Node]:
    """The sides of a comparison; beside a number, a tag, metadata, an attribute or an assessment is read as
    one.
    """
    if type_of(right) == "number":
        left = as_number(left)
    if type_of(left) == "number":
        right = as_number(right)
    return left, right


def as_number(node: Node) -> Node:
    """The number that the text of a tag, metadata, attribute or assessment is; any other node as it is."""
    if isinstance(node, Field) and node.name.startswith(KEYED) and node.scope != "assessments":
        return Call("number", (node,), "number")
    return _read(node, "number", "assessment_number")


def as_json(node: Node) -> Node:
    """An assessment's value as MLflow keeps it, a text in its quotes: what patterns see; any other node as it
    is.
    """
    return _read(node, "text", "assessment_json")


def _read(node: Node, type_: Type, decode: str) -> Node:
    if isinstance(node, Field) and node.scope == "assessments":
        return replace(node, type=type_, decode=f"{decode}:{node.decode.partition(':')[2]}")
    return node


def equal(left: Node, right: Node) -> Node:
    """``left = right``; an assessment also equals the JSON that its text is, as in MLflow (``'"yes"'``)."""
    same = Compare("=", left, right)
    quoted = isinstance(right, Literal_) and isinstance(right.value, str) and right.value.startswith('"')
    if not quoted or not isinstance(left, Field) or left.scope != "assessments":
        return same
    return Logic("OR", (same, Compare("=", as_json(left), right)))


def words_of(node: Node | None) -> tuple[str, ...]:
    """All values that a field can have, if they are few and known; else none."""
    return WORDS.get(node.name, ()) if isinstance(node, Field) else ()


def measure_field(name: str) -> Field | None:
    """A measure of a window rule, or None."""
    return Field(name, "number", "measure", (), "measure") if name in MEASURES else None


def listed(scope: str) -> list[tuple[str, str, tuple[str, ...]]]:
    """The fields of a scope for a reference: name, type, and the raw columns they are read from."""
    if scope == "measure":
        return [(name, "number", ()) for name in MEASURES]
    if scope == "spans":
        found = [(f"span.{name}", type_, raw) for name, (type_, raw, _) in _SPAN.items()]
        return [*found, ("span.attributes.KEY", "text", ("spans.attributes[KEY]",))]
    found = [(name, type_, raw) for name, (type_, raw, _) in _TRACE.items()]
    return [
        *found,
        ("tags.KEY", "text", ("tags[KEY]",)),
        ("metadata.KEY", "text", ("trace_metadata[KEY]",)),
        ("feedback.NAME", "text or number", ("assessments.feedback_value",)),
        ("expectation.NAME", "text or number", ("assessments.expectation_value",)),
        ("text", "text", _SPAN["content"][1]),
    ]
