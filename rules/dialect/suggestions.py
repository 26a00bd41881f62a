"""What a name that is no field may have been meant for: the hints of messages about unknown names."""

from __future__ import annotations

from difflib import get_close_matches

from rules.dialect.fields import ABSENT, MEASURES, SPAN_NAMES, TRACE_NAMES
from rules.dialect.nodes import Literal_, Node
from rules.dialect.types import type_of

_KEYS = {
    "trace": ("tags.KEY", "metadata.KEY", "feedback.NAME", "expectation.NAME", "span.NAME"),
    "spans": ("attributes.KEY", "tags.KEY", "metadata.KEY"),
}
# Words of other systems for what has another name here.
_ELSEWHERE = {
    "latency": "execution_time_ms",
    "latency_ms": "execution_time_ms",
    "duration": "execution_time_ms",
    "duration_ms": "execution_time_ms",
    "input": "request",
    "inputs": "request",
    "prompt_text": "request",
    "question": "request",
    "output": "response",
    "outputs": "response",
    "answer": "response",
    "message": "text",
    "body": "text",
    "content": "text",
    "error": "status",
    "errors": "status",
    "cost": "cost.total",
    "tokens": "tokens.total",
    "token_usage": "tokens.total",
    "prompt_tokens": "tokens.input",
    "completion_tokens": "tokens.output",
    "cached_tokens": "tokens.cache_read",
    "tool_name": "span.name",
    "start_time": "request_time",
    "time": "request_time",
    "environment": "tags.environment",
    "env": "tags.env",
    "session_id": "session",
    "user_id": "user",
}
_SPAN_ELSEWHERE = {
    "latency": "duration_ms",
    "latency_ms": "duration_ms",
    "duration": "duration_ms",
    "execution_time_ms": "trace.execution_time_ms",
    "input": "inputs",
    "output": "outputs",
    "text": "content",
    "error": "status",
    "error_message": "status_message",
    "message": "status_message",
    "exception": "exception.type",
    "tokens": "tokens.total",
    "kind": "type",
    "span_type": "type",
}
_MEASURE_ELSEWHERE = {
    "count": "traces",
    "requests": "traces",
    "failures": "errors",
    "error_ratio": "error_rate",
    "failure_rate": "error_rate",
    "latency_ms": "p95_ms",
    "p95": "p95_ms",
    "p50": "p50_ms",
    "p99": "p99_ms",
    "median": "p50_ms",
    "cost": "cost_usd",
    "total_tokens": "tokens",
    "tokens_input": "tokens.input",
    "tokens_output": "tokens.output",
    "tokens_cache_read": "tokens.cache_read",
    "tokens_cache_write": "tokens.cache_write",
    "cached_tokens": "tokens.cache_read",
}
_CLOSE = 0.6
_SHORTEST = 3  # what is shorter is part of too many names


def unknown_field(
    scope: str, parts: tuple[str, ...], beside_text: bool, words: tuple[str, ...]
) -> tuple[str, str, str]:
    """What is wrong with a name that is no field: code, message and hint.

    ``beside_text``: it is compared with a text, so that it may be a text without its quotes; ``words`` are
    the values that this text can have, if they are few.
    """
    name = ".".join(parts)
    if parts[0].lower() in ABSENT:
        return "absent-field", f"`{name}` is not part of a trace row", ""
    near = [f"`{one}`" for one in near_names(scope, parts)]
    if beside_text and len(parts) == 1:
        known = next((word for word in words if word.lower() == name.lower()), None)
        text = str(Literal_(known or name))
        near = [text] if known or not near else [*near[:1], f"the text {text}"]
    if near:
        return "unknown-field", f"unknown field `{name}`", f"did you mean {' or '.join(near)}?"
    return "unknown-field", f"unknown field `{name}`", "there are: " + ", ".join(_known(scope))


def hint_at_types(left: Node, right: Node) -> str:
    """How to mend a comparison of two types."""
    types = {type_of(left), type_of(right)}
    if "time" in types:
        return "compare `timestamp_ms` with a number, or `hour(request_time)`"
    text = left if type_of(left) == "text" else right
    other = right if text is left else left
    if types == {"text", "truth"} and isinstance(other, Literal_):
        return f"write '{str(other.value).lower()}'"
    if types != {"text", "number"}:
        return ""
    if isinstance(text, Literal_):
        return "numbers are written without quotes"
    return f"write `number({text})` to read the text as a number"


def near_names(scope: str, parts: tuple[str, ...], most: int = 2) -> list[str]:
    """The fields that a name is most likely meant for, the likeliest first; at most ``most``."""
    name = ".".join(parts).lower()
    if scope == "measure":
        return _likely(name, MEASURES, _MEASURE_ELSEWHERE)[:most]
    rest = ".".join(parts[1:])
    if parts[0].lower() in ("span", "spans") and rest:
        return [f"span.{one}" for one in _likely(rest.lower(), SPAN_NAMES, _SPAN_ELSEWHERE)][:most]
    if parts[0].lower() in ("attribute", "attributes") and rest and scope == "trace":
        return [f"span.attributes.{rest}", *(_likely(rest.lower(), TRACE_NAMES, {}))][:most]
    if scope == "spans":
        found = _likely(name, SPAN_NAMES, _SPAN_ELSEWHERE)
        return [*found, *(one for one in _likely(name, TRACE_NAMES, {}) if one not in found)][:most]
    found = _likely(name, (*TRACE_NAMES, "text"), _ELSEWHERE)
    of_spans = [f"span.{one}" for one in SPAN_NAMES if one == name]
    return [*of_spans, *(one for one in found if one not in of_spans)][:most]


def _likely(name: str, names: tuple[str, ...], elsewhere: dict[str, str]) -> list[str]:
    """What has this name elsewhere; else the name spelled alike; else names that hold it or are held by
    it.
    """
    if name in elsewhere:
        return [elsewhere[name]]
    if close := get_close_matches(name, names, 1, _CLOSE):
        return close
    if len(name) < _SHORTEST:
        return []
    return [one for one in names if name in one or (len(one) > _SHORTEST and one in name)]


def _known(scope: str) -> list[str]:
    if scope == "measure":
        return list(MEASURES)
    return [*sorted(SPAN_NAMES if scope == "spans" else (*TRACE_NAMES, "text")), *_KEYS[scope]]
