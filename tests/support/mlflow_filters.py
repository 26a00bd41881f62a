"""Filter strings of MLflow's ``search_traces``, made from its whole grammar over ``varied_traces``."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from support import varied_traces as data


def filters(ids: list[str]) -> st.SearchStrategy[str]:
    """One to four terms joined by AND; ``ids`` are trace ids to name in them."""
    term = st.one_of(
        attribute_term(ids),
        number_term(),
        keyed_term(),
        span_term(),
        span_term(),
        assessment_term(),
        assessment_term(),
    )
    return st.lists(term, min_size=1, max_size=4).flatmap(
        lambda terms: st.sampled_from([" AND ", " and ", "\nAND "]).map(lambda glue: glue.join(terms))
    )


def quoted(text: str) -> st.SearchStrategy[str]:
    """A value in one of the quotes that do not occur in it."""
    marks = [mark for mark in "'\"" if mark not in text]
    return st.sampled_from(marks).map(lambda mark: f"{mark}{text}{mark}") if marks else st.nothing()


def values(texts: list[str]) -> st.SearchStrategy[str]:
    return st.sampled_from([text for text in texts if not {"'", '"'} <= set(text)]).flatmap(quoted)


def like(texts: list[str]) -> st.SearchStrategy[str]:
    """A pattern made of one of the texts, some of it replaced by wildcards, some in the other case."""
    usable = [text for text in texts if "'" not in text and '"' not in text]

    @st.composite
    def pattern(draw: Any) -> str:
        text = draw(st.sampled_from(usable))
        start, end = sorted((draw(st.integers(0, len(text))), draw(st.integers(0, len(text)))))
        middle = draw(st.sampled_from([text[start:end], "_" * (end - start), "%"]))
        made = (
            draw(st.sampled_from(["", "%", text[:start]]))
            + middle
            + draw(st.sampled_from(["", "%", text[end:]]))
        )
        return "".join(c.swapcase() if c.isascii() and draw(st.booleans()) else c for c in made)

    return pattern().flatmap(quoted)


REGEX = st.sampled_from(
    [
        "prod",
        "^prod$",
        "^$",
        ".",
        "[0-9]+",
        "a.c",
        "[Pp]ro",
        "ag(ent|x)",
        "^.{3}$",
        "日本",
        "s+",
        "n.*e",
        "^it",
        "tool$",
        "o{2}|LLM",
        "true|5",
        "^[^a-z]*$",
    ]
).flatmap(quoted)
NUMBER = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])


@st.composite
def key(draw: Any, head: list[str], name: str) -> str:
    plain = name.replace(".", "").replace("_", "").isalnum() and name.isascii()
    wraps = ["`{}`", '"{}"', *(["{}"] if plain else [])]
    return draw(st.sampled_from(head)) + "." + draw(st.sampled_from(wraps)).format(name)


@st.composite
def spaced(draw: Any, left: str, operator: str, right: str) -> str:
    gap = st.sampled_from([" ", "  ", "\n "])
    tight = operator in ("=", "!=", "<", "<=", ">", ">=") and draw(st.booleans())
    return f"{left}{operator}{right}" if tight else f"{left}{draw(gap)}{operator}{draw(gap)}{right}"


@st.composite
def text_term(
    draw: Any, left: str, texts: list[str], operators: str, patterns: st.SearchStrategy[str] = REGEX
) -> str:
    """``left`` compared in one of the ways named: ``= != in like rlike null``."""
    how = draw(st.sampled_from(operators.split()))
    if how == "in":
        plain = st.sampled_from([t for t in texts if "'" not in t and '"' not in t] + ["other"]).flatmap(
            quoted
        )
        options = draw(st.lists(plain, min_size=1, max_size=3))
        return f"{left} {draw(st.sampled_from(['IN', 'NOT IN']))} ({', '.join(options)})"
    if how == "null":
        return f"{left} {draw(st.sampled_from(['IS NULL', 'IS NOT NULL']))}"
    if how == "like":
        return draw(spaced(left, draw(st.sampled_from(["LIKE", "ILIKE"])), draw(like(texts))))
    if how == "rlike":
        return draw(spaced(left, "RLIKE", draw(patterns)))
    return draw(spaced(left, how, draw(values([*texts, "other"]))))


HEADS = st.sampled_from(["", "", "trace.", "attribute.", "attributes."])
ALL = "= != like rlike null"
FEW = "= != in like rlike"


@st.composite
def attribute_term(draw: Any, ids: list[str]) -> str:
    head = draw(HEADS)
    kind = draw(st.sampled_from(["status", "request_id", "client_request_id", "name", "run_id"]))
    texts = {
        "status": ["OK", "ERROR"],
        "request_id": ids,
        "client_request_id": data.CLIENT_IDS,
        "name": data.NAMES,
        "run_id": data.RUNS,
    }[kind]
    return draw(text_term(head + kind, texts, ALL if kind in ("name", "run_id") else FEW))


@st.composite
def number_term(draw: Any) -> str:
    kind = draw(
        st.sampled_from(
            ["execution_time", "execution_time_ms", "end_time", "end_time_ms", "timestamp", "timestamp_ms"]
        )
    )
    near = (
        [0, 1, 5, 250, 1000, 1001, 30_000, -1, 2.5, 1e3]
        if kind.startswith("exec")
        else [data.START_MS + more for more in (-1, 0, 7, 1000, 20_001, 31_000, 45_007, 90_000)]
    )
    head = draw(HEADS) if not kind.startswith("timestamp") else ""
    return draw(spaced(head + kind, draw(NUMBER), str(draw(st.sampled_from(near)))))


@st.composite
def keyed_term(draw: Any) -> str:
    if draw(st.booleans()):
        left = draw(key(["tag", "tags"], draw(st.sampled_from([*data.TAGS, "absent", "mlflow.traceName"]))))
    else:
        left = draw(key(["metadata", "request_metadata"], draw(st.sampled_from([*data.METADATA, "absent"]))))
    return draw(text_term(left, [*data.TEXTS, "agent"], ALL))


@st.composite
def span_term(draw: Any) -> str:
    kind = draw(st.sampled_from(["name", "type", "status", "name", "type", "status", "content", "text"]))
    if kind in ("content", "text"):
        left = (
            "span.content" if kind == "content" else draw(st.sampled_from(["trace.text", "attribute.text"]))
        )
        word = draw(st.sampled_from([*data.WORDS, "absent"]))
        if draw(st.booleans()):
            return f"{left} LIKE '%{word}%'"
        return f"{left} ILIKE '%{word.upper() if word.isascii() else word}%'"
    texts = {"name": [*data.SPANS, *data.NAMES], "type": data.TYPES, "status": ["OK", "ERROR", "UNSET"]}[kind]
    return draw(text_term(f"span.{kind}", texts, FEW))


@st.composite
def assessment_term(draw: Any) -> str:
    kind, names = draw(st.sampled_from([("feedback", data.FEEDBACKS), ("expectation", data.EXPECTATIONS)]))
    left = draw(key([kind], draw(st.sampled_from([*names, "absent"]))))
    if draw(st.integers(0, 3)) == 0:
        number = draw(st.sampled_from(["0.5", "1", "2", "-3.25", "99.9", "0"]))
        return draw(spaced(left, draw(st.sampled_from(["<", "<=", ">", ">="])), number))
    texts = [value if isinstance(value, str) else str(value).lower() for value in data.VALUES]
    return draw(text_term(left, [*texts, '"yes"', '"5"', '"日本"'], ALL))
