"""Random conditions, each in our words and in Spark SQL's.

Where their words differ, a condition is written twice from one draw: ``any(span, …)`` as ``exists``, ``all``
as ``forall``, ``count`` as the size of a filter, ``sum``, ``max``, ``min`` and ``avg`` as a fold, a division
as the one that makes null of a zero, ``number`` as ``try_cast``, ``has`` as ``IS NOT NULL``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from hypothesis import strategies as st
from support.varied_rows import WORDS

from streams.batch.columns import literal


class Both(NamedTuple):
    """One expression in our words and in Spark's."""

    ours: str
    spark: str


def _json(column: str, key: str, path: str) -> str:
    return f"try_cast(get_json_object(try_element_at({column}, '{key}'), '$.{path}') as double)"


# As MLflow counts: the model of the first span of type CHAT_MODEL that names one.
_CHAT = "get_json_object(try_element_at(s.attributes, 'mlflow.spanType'), '$') = 'CHAT_MODEL'"
_MODEL = "get_json_object(try_element_at({0}.attributes, 'mlflow.llm.model'), '$')"
TEXTS = {
    "model": "try_element_at(filter(transform(filter(spans, s -> "
    + _CHAT
    + "), s -> "
    + _MODEL.format("s")
    + "), x -> x is not null), 1)",
    "tags.`a``b`": "try_element_at(tags, 'a`b')",
    "status": "state",
    "client_request_id": "client_request_id",
    "request": "request",
    "tags.env": "try_element_at(tags, 'env')",
    "tags.note": "try_element_at(tags, 'note')",
    "name": "try_element_at(tags, 'mlflow.traceName')",
    "metadata.team": "try_element_at(trace_metadata, 'team')",
}
NUMBERS = {
    "execution_time_ms": "execution_duration_ms",
    "cost.total": _json("trace_metadata", "mlflow.trace.cost", "total_cost"),
    **{
        f"tokens.{k}": _json("trace_metadata", "mlflow.trace.tokenUsage", f"{k}_tokens")
        for k in ("input", "output", "total")
    },
    "tokens.cache_read": _json("trace_metadata", "mlflow.trace.tokenUsage", "cache_read_input_tokens"),
    "tokens.cache_write": _json("trace_metadata", "mlflow.trace.tokenUsage", "cache_creation_input_tokens"),
    "hour(request_time)": "hour(request_time)",
    "dayofweek(request_time)": "dayofweek(request_time)",
    **{
        f"{name}(from_utc_timestamp(request_time, '{zone}'))": (
            f"{name}(from_utc_timestamp(request_time, '{zone}'))"
        )
        for name in ("hour", "dayofweek")
        for zone in ("Europe/Berlin", "Asia/Kolkata", "America/St_Johns")
    },
}
_EVENT = (
    "try_element_at(filter(transform(s.events, e -> try_element_at(e.attributes, '{0}')), "
    "x -> x is not null), -1)"
)
SPAN_TEXTS = {
    "span.name": "s.name",
    "span.status": "s.status_code",
    "status_message": "s.status_message",
    "type": "get_json_object(try_element_at(s.attributes, 'mlflow.spanType'), '$')",
    "span.model": _MODEL.format("s"),
    "exception.type": _EVENT.format("exception.type"),
    "span.exception.message": _EVENT.format("exception.message"),
    "attributes.temperature": "try_element_at(s.attributes, 'temperature')",
}
SPAN_NUMBERS = {"duration_ms": "cast((unix_micros(s.end_time) - unix_micros(s.start_time)) / 1000 as double)"}
REGEX = ["prod", "^[Pp]rod$", "a.c", "o+d?", "(st|na)", "[^a-z]", "^$", "日", "[0-9]%", "s{1}t"]


COMPARISONS = ["=", "<>", "<", "<=", ">", ">="]


def constant(text: str) -> Both:
    return Both("'" + text.replace("'", "''") + "'", literal(text))


def field(of: dict[str, str]) -> st.SearchStrategy[Both]:
    return st.sampled_from([Both(*pair) for pair in of.items()])


def text(of: dict[str, str]) -> st.SearchStrategy[Both]:
    """Fields, and functions of them."""
    other = st.one_of(field(of), st.sampled_from(WORDS).map(constant))
    return st.one_of(
        field(of),
        st.builds(join, st.sampled_from(["lower({0})", "upper({0})"]), field(of)),
        st.builds(join, st.just("coalesce({0}, {1})"), field(of), other),
    )


def figure(of: dict[str, str]) -> st.SearchStrategy[Both]:
    """Numbers that are made of texts."""
    lengths = text(of).map(lambda one: Both(f"length({one.ours})", f"length({one.spark})"))
    numbers = text(of).map(lambda one: Both(f"number({one.ours})", f"try_cast({one.spark} as double)"))
    return st.one_of(lengths, numbers)


def number(of: dict[str, str], texts: dict[str, str]) -> st.SearchStrategy[Both]:
    """Fields, constants, numbers made of texts, and sums and products of them."""
    one = st.sampled_from([0, 1, 2.5, 5, 250]).map(lambda n: Both(str(n), f"{float(n)}D"))
    known = field(of).map(lambda one: Both(f"coalesce({one.ours}, 1)", f"coalesce({one.spark}, 1D)"))
    leaf = st.one_of(field(of), field(of), one, figure(texts), known)

    def joined(left: Both, op: str, right: Both) -> Both:
        sql = (
            f"try_divide({left.spark}, {right.spark})" if op == "/" else f"({left.spark} {op} {right.spark})"
        )
        return Both(f"({left.ours} {op} {right.ours})", sql)

    return st.recursive(leaf, lambda sub: st.builds(joined, sub, st.sampled_from("+-*/"), sub), max_leaves=3)


def join(form: str, *parts: Both) -> Both:
    return Both(form.format(*(p.ours for p in parts)), form.format(*(p.spark for p in parts)))


@st.composite
def like_pattern(draw: Any) -> str:
    """A word with wildcards around it or in it."""
    word = draw(st.sampled_from(WORDS)).lower()
    at = draw(st.integers(0, len(word)))
    underscored = word[:at] + "_" + word[at + 1 :]
    forms = [word, f"%{word}", f"{word}%", f"%{word}%", underscored, word[:at] + "%"]
    return str(draw(st.sampled_from(forms)))


@st.composite
def term(draw: Any, texts: dict[str, str], numbers: dict[str, str]) -> Both:
    """One comparison, of any form that both know."""
    if draw(st.booleans()):
        left, value, forms = draw(number(numbers, texts)), number(numbers, texts), []
    else:
        left, value = (
            draw(text(texts)),
            st.one_of(text(texts), st.sampled_from([*WORDS, "OK", "ERROR", "TOOL"]).map(constant)),
        )
        forms = ["like", "ilike", "rlike", "like", "not like"]
    form = draw(
        st.sampled_from(
            [*COMPARISONS, "null", "not null", "in", "not in", "between", "has", "as number", *forms]
        )
    )
    if form.endswith("null"):
        return join("{0} IS " + form.upper(), left)
    if form == "has":
        named = draw(field(texts | numbers).filter(lambda one: "(" not in one.ours))
        return Both(f"has({named.ours})", f"({named.spark}) is not null")
    if form == "as number":
        keyed = {name: sql for name, sql in texts.items() if name.startswith(("tags.", "attributes."))}
        named = draw(field(keyed or texts))
        ours = named.ours if keyed else f"number({named.ours})"
        return Both(f"{ours} > 5", f"try_cast({named.spark} as double) > 5D")
    if form.endswith("in"):
        return join(f"{{0}} {form.upper()} ({{1}}, {{2}})", left, draw(value), draw(value))
    if form == "between":
        return join("{0} BETWEEN {1} AND {2}", left, draw(value), draw(value))
    if form == "rlike":
        return join("{0} RLIKE {1}", left, constant(draw(st.sampled_from(REGEX))))
    if form.endswith("like"):
        return join(f"{{0}} {form.upper()} {{1}}", left, constant(draw(like_pattern())))
    return join(f"{{0}} {form} {{1}}", left, draw(value))


TRUTHS = st.sampled_from(
    [Both("TRUE", "true"), Both("FALSE", "false"), Both("NULL", "cast(null as boolean)")]
)


def logic(leaf: st.SearchStrategy[Both], most: int) -> st.SearchStrategy[Both]:
    forms = ["({0} AND {1})", "({0} OR {1})", "({0} AND NOT {1})", "(NOT ({0} OR {1}))"]
    return st.recursive(leaf, lambda sub: st.builds(join, st.sampled_from(forms), sub, sub), max_leaves=most)


# Inside `any(span, …)` a bare name that a span has is the span's; the trace's has its prefix.
INSIDE = SPAN_TEXTS | {
    f"trace.{name}" if name in ("name", "status", "model") else name: sql for name, sql in TEXTS.items()
}
SPAN = logic(st.one_of(term(SPAN_TEXTS, SPAN_NUMBERS), term(INSIDE, SPAN_NUMBERS), TRUTHS), 4)


@st.composite
def over(draw: Any) -> Both:
    """Something about all spans of a trace."""
    op = draw(st.sampled_from(["any", "all", "count", "sum", "max", "min", "avg"]))
    one = draw(SPAN)
    if op == "any":
        return Both(f"any(span, {one.ours})", f"coalesce(exists(spans, s -> {one.spark}), false)")
    if op == "all":
        return Both(
            f"all(span, {one.ours})", f"coalesce(forall(spans, s -> coalesce({one.spark}, false)), true)"
        )
    compared = draw(st.sampled_from(["> 1", "= 0", "<> 2", "IS NULL", "< 251"]))
    if op == "count":
        return Both(
            f"count(span, {one.ours}) {compared}",
            f"coalesce(size(filter(spans, s -> {one.spark})), 0) {compared}",
        )
    value = draw(number(SPAN_NUMBERS, SPAN_TEXTS))
    kept = f"filter(transform(filter(spans, s -> {one.spark}), s -> {value.spark}), x -> x is not null)"
    total = f"aggregate({kept}, cast(null as double), (a, x) -> coalesce(a, 0D) + x)"
    if op in ("max", "min"):
        total = f"array_{op}({kept})"
    elif op == "avg":
        total = f"try_divide({total}, size({kept}))"
    return Both(f"{op}(span, {value.ours}, {one.ours}) {compared}", f"{total} {compared}")


CONDITION = logic(st.one_of(term(TEXTS, NUMBERS), term(TEXTS, NUMBERS), over(), TRUTHS), 5)
