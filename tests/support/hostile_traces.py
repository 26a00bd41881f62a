"""Traces that nobody means well with, for hypothesis: as rows of a trace table, and as MLflow's client gives
them.

Every value is one that a real table or server can hold.  With ``LONG=1`` there are many more examples.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from rules.matcher import raw_table
from store.schemas import TRACES
from streams.batch.columns import plain_names

LONG = os.environ.get("LONG", "") not in ("", "0")
SURROGATE = "lone \ud800 surrogate"
HUGE = "5 MB " + "x" * 5_000_000
TEXTS = [
    "",
    " ",
    "\x00",
    "a\x00b",
    "\x1b[2J\x1b[31mred\x1b]0;title\x07",
    "\u202egnp.exe\u202c \u2066x",
    "\u05e9\u05dc\u05d5\u05dd مرحبا",
    "line\nbreak\r\nand\ttab\u2028\u2029",
    "[red]bold[/red] {{ x }} ${HOME} %s %n",
    "'; DROP TABLE traces; --",
    '"quoted" \\ and `ticked`',
    "🧨" * 70,
    "e\u0301" * 90,
    "\ufffe\uffff\U0010ffff",
    "NaN",
    "null",
    "true",
    "-0",
    "1" * 400,
    "x" * 5000,
]
JSON_TEXTS = [
    "[" * 2000,
    "[" * 2000 + "]" * 2000,
    '{"a":' * 500 + "1" + "}" * 500,
    '{"total_tokens": 1, "total_tokens": -2}',
    '{"total_tokens": true, "input_tokens": [1], "output_tokens": {}}',
    '{"total_tokens": 1e999, "total_cost": NaN}',
    '{"total_tokens": -Infinity, "total_cost": -1}',
    '{"input_tokens": 1' + "0" * 400 + ', "output_tokens": 0.5}',
    '{"total_cost": 4e9, "total_tokens": 999999999999999}',
    '{"total_tokens": "7", "total_cost": null}',
    '{"num_spans": "many"}',
    "1" + "0" * 5000,
    "NaN",
    "[1, NaN, Infinity]",
    '"\\ud800"',
    '{"\\ud800": "\\u0000"}',
    '"a\\u0000b"',
    '"unclosed',
    '"' + "\\u202e" + '"',
    "[]",
    "{}",
    "null",
    "true",
    "-0.0",
    "{'single': 1}",
    "\ufeff{}",
    '{"messages": [{"role": "user", "content": null}]}',
]
FAR = [0, 1, -1, 10**12, -(10**12), 2**53, 2**62, -(2**62), 2**63 - 1, -(2**63)]
# The first and last days of years 1 and 9999, leap days, the end of 32-bit seconds; µs.
DATES = [-62_135_596_800_000_000, -62_135_596_800_000_001, 253_402_300_799_999_999, 253_402_300_800_000_000]
DATES += [951_782_400_000_000, 2_147_483_648_000_000, 1_800_000_000_000_000]
NUMBERS = [
    0.0,
    -0.0,
    1.5,
    -1.0,
    9.9e11,
    9e13,
    1e15,
    1e300,
    -1e300,
    5e-324,
    float("nan"),
    float("inf"),
    -float("inf"),
]
_KEYS = ["mlflow.traceName", "environment", "eval_candidate", "tracesieve.category", "a`b", "team", "model"]
_USAGE = ["mlflow.trace.tokenUsage", "mlflow.trace.cost", "mlflow.trace.sizeStats"]

texts = st.one_of(st.sampled_from(TEXTS), st.text(st.characters(codec="utf-8"), max_size=20))
json_texts = st.one_of(
    st.sampled_from(JSON_TEXTS),
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
        ),
        max_leaves=6,
    ).map(json.dumps),
)
content = st.one_of(st.none(), texts, json_texts)
times_us = st.one_of(st.sampled_from(FAR + DATES), st.integers(-(2**63), 2**63 - 1))
numbers = st.one_of(st.sampled_from(NUMBERS), st.floats())


def few(examples: int, long: int = 0) -> settings:
    """So many examples, and ``long`` (thirty times as many if not given) with ``LONG=1``."""
    return settings(
        max_examples=(long or 30 * examples) if LONG else examples,
        deadline=None,
        phases=list(Phase) if LONG else [Phase.explicit, Phase.reuse, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


def maps(keys: Sequence[str]) -> st.SearchStrategy[Any]:
    """A map as Arrow takes it: pairs, also with a key twice, or null."""
    pair = st.tuples(st.one_of(st.sampled_from(keys), texts), content)
    return st.one_of(st.none(), st.lists(pair, max_size=4))


def _spans() -> st.SearchStrategy[Any]:
    events = st.fixed_dictionaries(
        {
            "name": content,
            "timestamp": st.one_of(st.none(), times_us),
            "attributes": maps(["exception.type", "exception.message"]),
        }
    )
    one = st.fixed_dictionaries(
        {
            "span_id": st.sampled_from(["a", "b", "", None]),
            "parent_id": st.sampled_from(["a", "b", None]),  # of itself, in circles, of nobody
            "start_time": st.one_of(st.none(), times_us),
            "end_time": st.one_of(st.none(), times_us),
            "status_code": st.one_of(st.sampled_from(["OK", "ERROR", "2", "error", ""]), content),
            "status_message": content,
            "name": content,
            "attributes": maps(["mlflow.spanType", "mlflow.llm.model", "temperature"]),
            "events": st.one_of(st.none(), st.lists(st.one_of(st.none(), events), max_size=3)),
        }
    )
    many = st.builds(lambda span, n: [span] * n, one, st.sampled_from([2000]))
    few_spans = st.lists(st.one_of(st.none(), one), max_size=4)
    return st.one_of(st.none(), few_spans, few_spans, few_spans, many)


def _assessments() -> st.SearchStrategy[Any]:
    one = st.fixed_dictionaries(
        {
            "assessment_id": content,
            "assessment_name": st.one_of(st.just("correct"), content),
            "create_time": st.one_of(st.none(), times_us),
            "last_update_time": st.one_of(st.none(), times_us),
            "feedback_value": content,
            "expectation_value": content,
            "rationale": content,
        }
    )
    return st.one_of(st.none(), st.lists(st.one_of(st.none(), one), max_size=3))


def rows(trace_id: st.SearchStrategy[Any] | None = None) -> st.SearchStrategy[dict[str, Any]]:
    """A row of a trace table; times are µs."""
    return st.fixed_dictionaries(
        {
            "trace_id": st.just("hostile") if trace_id is None else trace_id,
            "experiment_id": content,
            "experiment_name": content,
            "client_request_id": content,
            "request_time": st.one_of(st.none(), times_us),
            "state": st.one_of(st.sampled_from(["OK", "ERROR", "IN_PROGRESS", None]), content),
            "execution_duration_ms": st.one_of(st.none(), numbers),
            "request": content,
            "response": content,
            "trace_metadata": maps([*_USAGE, "mlflow.sourceRun", "mlflow.trace.session"]),
            "tags": maps(_KEYS),
            "spans": _spans(),
            "assessments": _assessments(),
        }
    )


def as_table(given: Sequence[dict[str, Any]]) -> pa.Table:
    """Rows as a table of traces."""
    return pa.Table.from_pylist(list(given), schema=TRACES)


def from_spark(given: Sequence[dict[str, Any]], columns: Sequence[str]) -> pa.RecordBatch:
    """Rows as Spark hands them to the function of ``mapInArrow`` (``streams.batch.columns.raw_frame``)."""
    table = as_table(given)
    raw = raw_table(table, columns)
    plain = [_plain(number, row) for number, row in enumerate(given)]
    arrays = {f"_{name}": pa.array([row[name] for row in plain], kind) for name, kind in _PLAIN.items()}
    arrays |= dict(zip(plain_names(columns), raw.columns, strict=True))
    (batch,) = pa.table(arrays).combine_chunks().to_batches()
    return batch


_PLAIN: dict[str, pa.DataType] = {
    **dict.fromkeys(("trace_id", "experiment_id", "experiment", "state"), pa.string()),
    **dict.fromkeys(("source_run", "judge", "label", "file"), pa.string()),
    **dict.fromkeys(("start_us", "landed_us", "content_hash", "change_us"), pa.int64()),
    "duration_ms": pa.float64(),
}


def _plain(number: int, row: dict[str, Any]) -> dict[str, Any]:
    metadata, tags = dict(row["trace_metadata"] or []), dict(row["tags"] or [])
    label = tags.get("eval_candidate")
    return {
        **{name: row[name] for name in ("trace_id", "experiment_id", "state")},
        "experiment": row["experiment_name"] or row["experiment_id"] or "",
        "source_run": metadata.get("mlflow.sourceRun"),
        "judge": metadata.get("mlflow.trace.sourceScorer"),
        "label": label if label and label != tags.get("tracesieve.category") else None,
        "file": "file",
        "start_us": row["request_time"],
        "landed_us": row.get("landed_us"),
        "content_hash": number,
        "change_us": row["request_time"] or 0,
        "duration_ms": row["execution_duration_ms"],
    }


def with_bad_bytes(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with bytes that are no UTF-8 in every text of more than a byte, as a file may hold them."""

    def spoiled(column: pa.Array) -> pa.Array:
        if not pa.types.is_string(column.type):
            return column
        raw = [
            None if one is None else one[:-1] + b"\xff" if len(one) > 1 else one
            for one in column.cast(pa.binary()).to_pylist()
        ]
        return pa.Array.from_buffers(pa.string(), len(raw), pa.array(raw, pa.binary()).buffers())

    return pa.RecordBatch.from_arrays([spoiled(column) for column in batch.columns], names=batch.schema.names)
