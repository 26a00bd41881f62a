"""The names a condition may use: what each means, its type and the raw columns of a trace it is read from.

A field's ``decode`` names how the matcher turns raw columns into values (``rules/matcher/values.py``), so
that every way in (Spark, delta-rs, a rule's inline test) shares one decoding.
"""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches

from rules.dialect.nodes import Compare, Field, Literal_, Logic, Node, Type

USAGE = "trace_metadata[mlflow.trace.tokenUsage]"
COST = "trace_metadata[mlflow.trace.cost]"
SPAN_USAGE = "spans.attributes[mlflow.chat.tokenUsage]"
NAME = "tags[mlflow.traceName]"

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
    "request": ("text", ("request",), "text"),
    "response": ("text", ("response",), "text"),
    "run_id": ("text", ("trace_metadata[mlflow.sourceRun]",), "text"),
    "session": ("text", ("trace_metadata[mlflow.trace.session]",), "text"),
    "user": ("text", ("trace_metadata[mlflow.trace.user]",), "text"),
    "tokens.input": ("number", (USAGE,), "json:input_tokens"),
    "tokens.output": ("number", (USAGE,), "json:output_tokens"),
    "tokens.total": ("number", (USAGE,), "json:total_tokens"),
    "cost.total": ("number", (COST,), "json:total_cost"),
}
_SPAN: dict[str, tuple[Type, tuple[str, ...], str]] = {
    "name": ("text", ("spans.name",), "text"),
    "type": ("text", ("spans.attributes[mlflow.spanType]",), "json_text"),
    "status": ("text", ("spans.status_code",), "span_status"),
    "status_message": ("text", ("spans.status_message",), "text"),
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
MEASURES = ("traces", "errors", "error_rate", "p50_ms", "p95_ms", "p99_ms", "tokens", "cost_usd")
ABSENT = ("issue", "prompt", "assessment")


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


def unknown(scope: str, parts: tuple[str, ...]) -> tuple[str, str, str]:
    """What is wrong with a name that :func:`lookup` does not find: code, message and hint."""
    name = ".".join(parts)
    if parts[0].lower() in ABSENT:
        return "absent-field", f"`{name}` is not part of a trace row", ""
    names = known_names(scope)
    close = get_close_matches(name.lower(), names, 1)
    hint = f"did you mean `{close[0]}`?" if close else "there are: " + ", ".join(names)
    return "unknown-field", f"unknown field `{name}`", hint


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


def as_number(node: Node) -> Node:
    """An assessment's value as a number (those that are JSON numbers); any other node as it is."""
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


def measure_field(name: str) -> Field | None:
    """A measure of a window rule, or None."""
    return Field(name, "number", "measure", (), "measure") if name in MEASURES else None


def known_names(scope: str) -> list[str]:
    """What could have been written, for a message."""
    if scope == "measure":
        return list(MEASURES)
    if scope == "spans":
        return [*sorted(_SPAN), "attributes.KEY"]
    return [
        *sorted([*_TRACE, "text"]),
        "tags.KEY",
        "metadata.KEY",
        "feedback.NAME",
        "expectation.NAME",
        "span.…",
    ]


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
