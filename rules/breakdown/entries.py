"""What the spans of each trace come to by type and name: the items of the column ``spans`` of a fact."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rules.alerting.histogram import bucket_index
from rules.breakdown.columns import AMOUNTS, BREAKDOWN
from rules.breakdown.spans import UNKNOWN, Spans
from rules.breakdown.tree import Ints
from rules.breakdown.usage import whole
from rules.matcher import values as v

MOST_ENTRIES = 32  # of a trace by their time; the others are added up by type
OTHER = "other"
# MLflow's own types (mlflow.entities.SpanType); others go together where there are too many entries.
TYPES = frozenset(
    {
        *("LLM", "CHAIN", "AGENT", "TOOL", "CHAT_MODEL", "RETRIEVER", "PARSER", "EMBEDDING", "RERANKER"),
        *("MEMORY", "WORKFLOW", "TASK", "GUARDRAIL", "EVALUATOR", UNKNOWN),
    }
)


def entries(spans: Spans, rows: int) -> pa.Array:
    """For each of ``rows`` traces a list of :data:`rules.breakdown.columns.BREAKDOWN`, by type and name in
    the order of their code points.
    """
    types, names = _Ordered(spans.types, OTHER), _Ordered(spans.names, OTHER)
    pairs = types.codes * len(names.words) + names.codes
    sorted_ = _Sorted(spans.owners, pairs, len(types.words) * len(names.words))
    if np.bincount(sorted_.owners, minlength=1).max(initial=0) > MOST_ENTRIES:
        pairs = _folded(spans, sorted_, pairs, types, names)
        sorted_ = _Sorted(spans.owners, pairs, len(types.words) * len(names.words))
    type_codes, name_codes = np.divmod(sorted_.pairs, len(names.words))
    columns = {
        "type": types.words.take(pa.array(type_codes)),
        "name": names.words.take(pa.array(name_codes)),
        **_sums(spans, sorted_),
        **_buckets(spans, sorted_),
    }
    offsets = np.append(0, np.cumsum(np.bincount(sorted_.owners, minlength=rows))).astype(np.int32)
    structs = pa.StructArray.from_arrays([columns[field.name] for field in BREAKDOWN], fields=list(BREAKDOWN))
    return pa.ListArray.from_arrays(pa.array(offsets), structs)


class _Ordered:
    """Texts as codes in the order of their words, one more word among them."""

    def __init__(self, texts: v.Texts, more: str) -> None:
        words = sorted({*texts.words, more})
        place = {word: code for code, word in enumerate(words)}
        table = np.array([place[word] for word in texts.words], dtype=np.int64)
        self.words = pa.array(words, pa.string())
        self.codes: Ints = table[texts.codes] if len(texts.codes) else np.zeros(0, dtype=np.int64)
        self.more = place[more]


class _Sorted:
    """Spans sorted by trace and pair; ``owners`` and ``pairs`` have an item for each entry."""

    def __init__(self, owners: Ints, pairs: Ints, number: int) -> None:
        keys = owners * number + pairs
        self.order = np.argsort(keys, kind="stable")
        keys = keys[self.order]
        self.first = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])[: len(keys)])
        self.calls: Ints = np.diff(np.append(self.first, len(keys)))
        self.owners, self.pairs = np.divmod(keys[self.first], max(number, 1))

    def summed(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Values of spans added up by entry."""
        if len(self.first) == len(self.order):  # every entry is one span
            return values[self.order]
        return np.add.reduceat(values[self.order], self.first)


def _folded(spans: Spans, found: _Sorted, pairs: Ints, types: _Ordered, names: _Ordered) -> Ints:
    """The pairs of spans, with ``other`` in the place of those that are too many in their trace."""
    total = found.summed(spans.duration_us)
    order = np.lexsort((found.pairs, -total, found.owners))
    starts = np.searchsorted(found.owners, found.owners)
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order)) - starts
    known = np.array([word in TYPES for word in types.words.to_pylist()])
    of_type = found.pairs // len(names.words)
    other = np.where(known[of_type], of_type, types.more) * len(names.words) + names.more
    result = np.empty(len(pairs), dtype=np.int64)
    result[found.order] = np.repeat(np.where(place < MOST_ENTRIES, found.pairs, other), found.calls)
    return result


def _sums(spans: Spans, found: _Sorted) -> dict[str, pa.Array]:
    timed = found.summed(spans.timed.astype(np.int64))
    columns = {
        "calls": pa.array(found.calls),
        "errors": pa.array(found.summed(spans.failed.astype(np.int64))),
        "total_us": pa.array(found.summed(spans.duration_us), mask=timed == 0),
        "self_us": pa.array(found.summed(spans.self_us)),
        "critical_us": pa.array(found.summed(spans.critical_us)),
        "parallel_us": pa.array(found.summed(spans.parallel_us)),
    }
    for name in AMOUNTS:
        known = ~np.isnan(spans.used[name])
        if not known.any():
            columns[name] = pa.nulls(len(found.calls), pa.int64())
            continue
        number = found.summed(known.astype(np.int64))
        columns[name] = whole(found.summed(np.where(known, spans.used[name], 0.0)), number > 0)
    return columns


def _buckets(spans: Spans, found: _Sorted) -> dict[str, pa.Array]:
    """Histograms of the entries with several calls."""
    several = np.repeat(found.calls > 1, found.calls) & spans.timed[found.order]
    entry = np.repeat(np.arange(len(found.calls)), found.calls)[several]
    index = bucket_index(spans.duration_us[found.order][several]).astype(np.int64)
    keys, count = np.unique(entry << 16 | index + 1, return_counts=True)
    offsets = np.append(0, np.cumsum(np.bincount(keys >> 16, minlength=len(found.calls)))).astype(np.int32)
    indexes = pa.array(((keys & 0xFFFF) - 1).astype(np.int32))
    return {
        name: pa.ListArray.from_arrays(pa.array(offsets), values)
        for name, values in (("bucket_index", indexes), ("bucket_count", pa.array(count.astype(np.int64))))
    }
