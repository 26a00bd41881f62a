"""What is observed of each span type and name trace by trace, so that two sides can be compared.

A trace counts once, with the mean duration of its calls and with what they used together: calls of one trace
are alike, and counting each as if it were another trace would make chance look like change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from rules.alerting.histogram import bucket_index
from rules.breakdown.alike import column
from rules.breakdown.arrays import Ints
from rules.breakdown.columns import SUMS
from rules.breakdown.entries import Entries
from rules.breakdown.folding import MOST_PAIRS, most_frequent
from rules.breakdown.totals import Pair

Label = tuple[str, str | None]  # type and name; None: all spans of the type
AMOUNTS_OBSERVED = ("tokens_total", "cost_nusd")
OBSERVED = ("duration_us", *AMOUNTS_OBSERVED)
_READ = ("calls", "errors", "total_us", *AMOUNTS_OBSERVED)
_LARGEST = 2**50  # of one value: no bucket tells larger ones apart, and sums of a trace fit 64 bits
_MOST_CELLS = 4_000_000  # of a table of histograms


@dataclass
class Observed:
    """Of all traces that have a span of one kind: how many, in how many one failed, how often they call it,
    and by :data:`OBSERVED` the histogram of what each trace has (µs a call, tokens, 1e-9 USD).
    """

    traces: int = 0
    failed: int = 0
    calls: Counter[int] = field(default_factory=Counter)
    histograms: dict[str, Counter[int]] = field(
        default_factory=lambda: {name: Counter() for name in OBSERVED}
    )


@dataclass(frozen=True)
class _Rows:
    """One row for each label and trace; ``places`` are indexes into ``labels``; -1 is unknown."""

    labels: Sequence[Label]
    places: Ints
    columns: dict[str, Ints]


class Observations:
    """Observations of one side, by label."""

    def __init__(self) -> None:
        self.by_label: dict[Label, Observed] = {}

    def add_alike(self, pairs: Sequence[Pair], numbers: Ints) -> bool:
        """Observe traces of one layout (:func:`rules.breakdown.alike.add_alike`); always True."""
        if pairs:
            owners, places = np.divmod(np.arange(len(numbers) * len(pairs)), len(pairs))
            columns = {name: column(numbers, len(pairs), name) for name in _READ}
            self._add(owners, _Rows(pairs, places, columns))
        return True

    def add(self, found: Entries) -> None:
        """Observe the entries of any traces."""
        codes, places = np.unique(
            found.pairs[:, 0] * len(found.names) + found.pairs[:, 1], return_inverse=True
        )
        pairs = [divmod(code, len(found.names)) for code in codes.tolist()]
        labels = [(found.types[kind], found.names[name]) for kind, name in pairs]
        columns = {name: found.sums[SUMS.index(name)] for name in _READ}
        if labels:
            self._add(found.owners, _Rows(labels, places.reshape(-1), columns))

    def _add(self, owners: Ints, rows: _Rows) -> None:
        self._count(rows)
        self._count(_by_type(owners, rows))

    def _count(self, rows: _Rows) -> None:
        rows = _bounded(rows)
        size = len(rows.labels)
        of_label = [self.by_label.setdefault(label, Observed()) for label in rows.labels]
        calls, total = rows.columns["calls"], rows.columns["total_us"]
        traces = np.bincount(rows.places, minlength=size).tolist()
        failed = np.bincount(rows.places[rows.columns["errors"] > 0], minlength=size).tolist()
        for one, number, bad in zip(of_label, traces, failed, strict=True):
            one.traces += number
            one.failed += bad
        for place, value, count in _counted(rows.places, calls):
            of_label[place].calls[value] += count
        mean_us = np.where(total < 0, -1, total // np.maximum(calls, 1))
        values = {"duration_us": mean_us, **{name: rows.columns[name] for name in AMOUNTS_OBSERVED}}
        for name, amounts in values.items():
            known = amounts >= 0
            places, amounts = rows.places[known], amounts[known]
            for place, index, count in _counted(places, bucket_index(amounts).astype(np.int64) + 1):
                of_label[place].histograms[name][index - 1] += count


def _bounded(rows: _Rows) -> _Rows:
    """Without the rarest labels where there are too many: they have too few traces to be compared."""
    if len(rows.labels) <= MOST_PAIRS:
        return rows
    kept = most_frequent(rows.places, len(rows.labels), MOST_PAIRS)
    here = kept[rows.places]
    labels = [label for label, keep in zip(rows.labels, kept.tolist(), strict=True) if keep]
    columns = {name: values[here] for name, values in rows.columns.items()}
    return _Rows(labels, (np.cumsum(kept) - 1)[rows.places[here]], columns)


def _by_type(owners: Ints, rows: _Rows) -> _Rows:
    """The rows of one trace and type as one; they stand together."""
    types = sorted({kind for kind, _ in rows.labels})
    place = {kind: number for number, kind in enumerate(types)}
    of_label = np.array([place[kind] for kind, _ in rows.labels])
    keys = owners * len(types) + of_label[rows.places]
    first = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])[: len(keys)])

    def summed(name: str) -> Ints:
        values = rows.columns[name]
        known = np.add.reduceat(values >= 0, first, dtype=np.int64)
        return np.where(known > 0, np.add.reduceat(np.clip(values, 0, _LARGEST), first), -1)

    columns = {name: summed(name) for name in _READ}
    return _Rows([(kind, None) for kind in types], keys[first] % len(types), columns)


def _counted(places: Ints, values: Ints) -> list[list[int]]:
    """Rows of place, value and how often it is there; values are not negative."""
    room = int(values.max(initial=0)) + 1
    keys = places * room + values
    if len(keys) and (int(places.max()) + 1) * room <= _MOST_CELLS:
        counts = np.bincount(keys)
        keys = np.flatnonzero(counts)
        counts = counts[keys]
    else:
        keys, counts = np.unique(keys, return_counts=True)
    found: list[list[int]] = np.stack([*np.divmod(keys, room), counts], axis=1).tolist()
    return found
