"""Generated traces: many, alike to what an agent with tools and a retriever logs, the same for the same size
and seed.

The table is made of whole Arrow arrays (no Python object a trace), and is kept for the next run.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from rules.units import DAY_US
from store.schemas import ASSESSMENT, SPAN, SPAN_EVENT, TRACES

SPANS = 5
FILE_TRACES = 50_000
BEGIN_US = 1_795_132_800_000_000  # 2026-11-20T00:00Z
SCHEMA = TRACES.remove(TRACES.get_field_index("landed_us"))
_VERSION = 2  # of what is generated; raise it when that changes
_TYPES = ["AGENT", "RETRIEVER", "CHAT_MODEL", "TOOL", "CHAT_MODEL"]
_NAMES = ["support-agent", "search_docs", "draft", "lookup_order", "answer"]
_WORDS = (
    "order refund delivery parcel invoice account password shipping late broken cancel address payment "
    "size colour return "
    "voucher the a my is not to of where when how please thanks yesterday again number"
)
_STRINGS = pa.string()


def delta_table(folder: Path, traces: int) -> Path:
    """The Delta table of that many traces below ``folder``, made unless it is there."""
    from deltalake import write_deltalake

    path = folder / f"traces-{traces}-v{_VERSION}"
    if (path / "_complete").exists():
        return path
    shutil.rmtree(path, ignore_errors=True)
    for first in range(0, traces, FILE_TRACES):
        write_deltalake(str(path), chunk(first, min(FILE_TRACES, traces - first), traces), mode="append")
    (path / "_complete").touch()
    return path


def data_bytes(table: Path) -> int:
    """The size of a table's data files."""
    return sum(file.stat().st_size for file in table.glob("*.parquet"))


def chunk(first: int, number: int, of: int, ends_us: Any = None, tokens: Any = None) -> pa.Table:
    """Traces ``first`` … of a table of ``of`` traces that are spread evenly over a day.

    ``ends_us`` (int64, µs since the epoch) sets when each ends instead; ``tokens`` its input and output
    tokens.
    """
    rng = np.random.default_rng([20261120, first])
    start = BEGIN_US + ((first + np.arange(number)) * (DAY_US / of)).astype(np.int64)
    duration_us = np.minimum(rng.lognormal(14.0, 0.9, number), 3.0e8).astype(np.int64)
    if ends_us is not None:
        start = np.asarray(ends_us, dtype=np.int64) - duration_us
    failed = rng.random(number) < 0.03
    pick = rng.integers(0, 1 << 30, number)
    tags = _tags(rng, number, pick)
    metadata = _metadata(rng, number, of, tokens)
    ids = _hex(rng, number, 16, "tr-")
    columns: dict[str, Any] = {
        "trace_id": ids,
        "experiment_id": pa.array(np.array(["1", "2"])[pick // 2 % 2]),
        "experiment_name": pa.array(np.array(["support", "search"])[pick // 2 % 2]),
        "client_request_id": pa.nulls(number, _STRINGS),
        "request_time": _times(start),
        "state": pa.array(np.where(failed, "ERROR", "OK")),
        "execution_duration_ms": pa.array(duration_us / 1000.0),
        "request": _text(rng, number, 8),
        "response": _text(rng, number, 12),
        "trace_metadata": _map(metadata, number),
        "tags": _map(tags, number),
        "spans": _spans(rng, ids, start, duration_us, failed),
        "assessments": pa.ListArray.from_arrays(
            pa.array(np.zeros(number + 1, np.int32)), pa.array([], ASSESSMENT)
        ),
    }
    return pa.table([columns[field.name].cast(field.type) for field in SCHEMA], schema=SCHEMA)


# Each of the following draws from the one generator: their order is part of what is generated.


def _tags(rng: np.random.Generator, number: int, pick: Any) -> dict[str, pa.Array]:
    return {
        "mlflow.traceName": pa.array(np.array(["support-agent", "search-agent"])[pick % 2]),
        "environment": pa.array(np.array(["production", "staging"])[(rng.random(number) < 0.2).astype(int)]),
        "mlflow.user": _joined("user-", rng.integers(0, 5000, number)),
    }


def _metadata(rng: np.random.Generator, number: int, of: int, tokens: Any) -> dict[str, pa.Array]:
    tokens_in, tokens_out = rng.integers(200, 9000, number), rng.integers(10, 1500, number)
    tokens_in[rng.random(number) < 0.005] += 20_000
    if tokens is not None:
        tokens_in, tokens_out = tokens
    pairs = list(zip(tokens_in.tolist(), tokens_out.tolist(), strict=True))
    usage = [f'{{"input_tokens": {a}, "output_tokens": {b}, "total_tokens": {a + b}}}' for a, b in pairs]
    prices = [(a / 1e6, b / 2e5) for a, b in pairs]
    cost = [
        f'{{"input_cost": {a:.6f}, "output_cost": {b:.6f}, "total_cost": {a + b:.6f}}}' for a, b in prices
    ]
    return {
        "mlflow.trace.tokenUsage": pa.array(usage, _STRINGS),
        "mlflow.trace.cost": pa.array(cost, _STRINGS),
        "mlflow.trace.session": _joined("session-", rng.integers(0, of // 3 + 1, number)),
    }


def _spans(rng: np.random.Generator, ids: Any, start: Any, duration_us: Any, failed: Any) -> pa.Array:
    number = len(start)
    count = number * SPANS
    kind = np.tile(np.arange(SPANS), number)
    share = np.tile(np.array([0.0, 0.05, 0.2, 0.5, 0.7]), number)
    begin = np.repeat(start, SPANS) + (np.repeat(duration_us, SPANS) * share).astype(np.int64)
    took = (np.repeat(duration_us, SPANS) * np.tile(np.array([1.0, 0.1, 0.25, 0.15, 0.3]), number)).astype(
        np.int64
    )
    broken = (rng.random(count) < 0.02) & (kind == 3) | (np.repeat(failed, SPANS) & (kind == 0))
    empty = (rng.random(count) < 0.01) & (kind == 1)
    span_ids = _hex(rng, count, 8, "")
    roots = pa.array(np.repeat(np.arange(0, count, SPANS), SPANS))
    parents = np.where(kind == 0, None, span_ids.take(roots).to_numpy(zero_copy_only=False))
    outputs = _text(rng, count, 4).to_numpy(zero_copy_only=False)
    outputs[empty] = "[]"
    attributes = {
        "mlflow.spanType": pa.array(np.array([f'"{one}"' for one in _TYPES])[kind]),
        "mlflow.spanInputs": _text(rng, count, 3),
        "mlflow.spanOutputs": pa.array(outputs, _STRINGS),
    }
    fields = {
        "span_id": span_ids,
        "trace_id": ids.take(pa.array(np.repeat(np.arange(number), SPANS))),
        "parent_id": pa.array(parents, _STRINGS),
        "start_time": _times(begin),
        "end_time": _times(begin + took),
        "status_code": pa.array(np.where(broken, "ERROR", "OK")),
        "status_message": pa.array(np.where(broken, "upstream timed out", "")),
        "name": pa.array(np.array(_NAMES)[kind]),
        "attributes": _map(attributes, count),
        "events": pa.ListArray.from_arrays(pa.array(np.zeros(count + 1, np.int32)), pa.array([], SPAN_EVENT)),
    }
    structs = pa.StructArray.from_arrays(
        [fields[field.name].cast(field.type) for field in SPAN], fields=list(SPAN)
    )
    return pa.ListArray.from_arrays(pa.array(np.arange(0, count + 1, SPANS, dtype=np.int32)), structs)


def _times(micros: Any) -> pa.Array:
    return pa.array(micros, pa.int64()).cast(pa.timestamp("us", "UTC"))


def _map(columns: dict[str, Any], number: int) -> pa.Array:
    keys = pa.array(np.tile(np.array(list(columns)), number), _STRINGS)
    order = pa.array(np.arange(len(columns) * number).reshape(len(columns), number).T.ravel())
    items = pa.concat_arrays([column.cast(_STRINGS) for column in columns.values()]).take(order)
    offsets = pa.array(np.arange(0, number * len(columns) + 1, len(columns), dtype=np.int32))
    return pa.MapArray.from_arrays(offsets, keys, items)


def _hex(rng: np.random.Generator, number: int, width: int, prefix: str) -> pa.Array:
    digits = np.frombuffer(rng.bytes(number * width).hex().encode(), np.uint8).reshape(number, width * 2)
    lead = np.tile(np.frombuffer(prefix.encode(), np.uint8), (number, 1))
    data = np.ascontiguousarray(np.hstack([lead, digits]))
    offsets = np.arange(0, data.size + 1, data.shape[1], dtype=np.int32)
    return pa.StringArray.from_buffers(number, pa.py_buffer(offsets), pa.py_buffer(data))


def _joined(prefix: str, numbers: Any) -> pa.Array:
    return pa.array([f"{prefix}{one}" for one in numbers], _STRINGS)


def _text(rng: np.random.Generator, number: int, words: int) -> pa.Array:
    import pyarrow.compute as pc

    vocabulary = pa.array(_WORDS.split(" "))
    parts = [vocabulary.take(pa.array(rng.integers(0, len(vocabulary), number))) for _ in range(words)]
    return pc.binary_join_element_wise('{"text": "', pc.binary_join_element_wise(*parts, " "), '"}', "")
