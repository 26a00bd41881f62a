"""What the spans of each trace come to by type and name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rules.alerting.histogram import bucket_index
from rules.breakdown.arrays import Ints
from rules.breakdown.columns import AMOUNTS
from rules.breakdown.spans import UNKNOWN, Spans
from rules.breakdown.usage import integers
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


@dataclass(frozen=True)
class Entries:
    """One item for all spans of a type and a name in a trace.

    ``owners`` are rows of the batch, ascending; ``sums`` has a row for each of
    :data:`rules.breakdown.columns.SUMS` and in it an item for each entry. ``buckets`` are the histograms of
    durations (rules/alerting/histogram.py) of entries with several calls: rows of entry, index and count. A
    single call's duration is its total.
    """

    owners: Ints
    pairs: Ints  # type and name: indexes into `types` and `names`
    types: Sequence[str]
    names: Sequence[str]
    sums: Ints
    buckets: Ints

    def __len__(self) -> int:
        return len(self.owners)


def entries(spans: Spans) -> Entries:
    """Spans added up by trace, type and name, in the order of their code points."""
    types, names = _Ordered(spans.types, OTHER), _Ordered(spans.names, OTHER)
    number = len(types.words) * len(names.words)
    pairs = types.codes * len(names.words) + names.codes
    found = _Sorted(spans.owners, pairs, number)
    if np.bincount(found.owners, minlength=1).max(initial=0) > MOST_ENTRIES:
        found = _Sorted(spans.owners, _folded(spans, found, types, names), number)
    pair = np.stack(np.divmod(found.pairs, len(names.words)), axis=1)
    return Entries(found.owners, pair, types.words, names.words, _sums(spans, found), _buckets(spans, found))


class _Ordered:
    """Texts as codes in the order of their words, one more word among them."""

    def __init__(self, texts: v.Texts, more: str) -> None:
        words = sorted({*texts.words, more})
        place = {word: code for code, word in enumerate(words)}
        table = np.array([place[word] for word in texts.words], dtype=np.int64)
        self.words = words
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


def _folded(spans: Spans, found: _Sorted, types: _Ordered, names: _Ordered) -> Ints:
    """The pairs of spans, with ``other`` in the place of those that are too many in their trace."""
    total = found.summed(spans.duration_us)
    order = np.lexsort((found.pairs, -total, found.owners))
    starts = np.searchsorted(found.owners, found.owners)
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order)) - starts
    known = np.array([word in TYPES for word in types.words])
    of_type = found.pairs // len(names.words)
    other = np.where(known[of_type], of_type, types.more) * len(names.words) + names.more
    result = np.empty(len(spans), dtype=np.int64)
    result[found.order] = np.repeat(np.where(place < MOST_ENTRIES, found.pairs, other), found.calls)
    return result


def _sums(spans: Spans, found: _Sorted) -> Ints:
    timed = found.summed(spans.timed.astype(np.int64))
    columns = [
        found.calls,
        found.summed(spans.failed.astype(np.int64)),
        np.where(timed > 0, found.summed(spans.duration_us), -1),
        *(found.summed(times) for times in (spans.self_us, spans.critical_us, spans.parallel_us)),
    ]
    for used in (spans.used[name] for name in AMOUNTS):
        known = ~np.isnan(used)
        if known.any():
            number = found.summed(known.astype(np.int64))
            columns.append(np.where(number > 0, integers(found.summed(np.where(known, used, 0.0))), -1))
        else:
            columns.append(np.full(len(found.calls), -1, dtype=np.int64))
    return np.stack(columns)


def _buckets(spans: Spans, found: _Sorted) -> Ints:
    """The histograms of the entries with several calls."""
    several = np.repeat(found.calls > 1, found.calls) & spans.timed[found.order]
    entry = np.repeat(np.arange(len(found.calls)), found.calls)[several]
    index = bucket_index(spans.duration_us[found.order][several]).astype(np.int64)
    keys, count = np.unique(entry << 16 | index + 1, return_counts=True)
    return np.stack([keys >> 16, (keys & 0xFFFF) - 1, count.astype(np.int64)], axis=1)
