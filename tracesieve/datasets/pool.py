"""The candidates of all datasets, as they were decided last: a table of the store, held in memory."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import polars as pl

from rules.failures import merged_patterns
from rules.selection import Candidate, Selection, duration_stratum, select
from rules.units import DAY_US
from store import Store
from tracesieve.datasets.sets import DatasetSets, Entry

Row = dict[str, Any]  # of the table `dataset_candidates`, without its number
TABLE: Final = "dataset_candidates"


class Pool:
    """What is chosen from; :meth:`put` writes the table, everything else reads."""

    def __init__(self, store: Store, sets: DatasetSets) -> None:
        self.sets = sets
        self._table = store.table(TABLE)
        self._rows: dict[str, Row] = {}
        self._decisions: dict[str, dict[str, Any]] = {}
        self._fed: dict[str, dict[str, Entry]] = {}  # by trace: the sets that it is a candidate of
        self._traces: dict[str, set[str]] = defaultdict(set)  # by set
        self._failures: dict[str, tuple[str, str]] = {}  # by pattern: the error's type, the masked message
        self._classes: dict[str, str] | None = None  # by pattern; None: to be found again
        self._next = 0
        known = self._table.read().sort("number")
        if known.height:
            self._next = int(known["number"][-1]) + 1
        last = known.unique("trace_id", keep="last", maintain_order=True).drop("number")
        self._take(last.iter_rows(named=True))

    def row(self, trace_id: str) -> Row | None:
        """How a candidate was decided last; None where the trace is none."""
        return self._rows.get(trace_id)

    def decision(self, trace_id: str) -> dict[str, Any] | None:
        """What was decided of a candidate last (``rules.tags.membership_of``); None: it is none."""
        return self._decisions.get(trace_id)

    def sets_of(self, trace_id: str) -> Mapping[str, Entry]:
        """The datasets that a trace is a candidate of, with why."""
        return self._fed.get(trace_id, {})

    def candidates_of(self, name: str) -> set[str]:
        """The candidates of a dataset."""
        return self._traces.get(name, set())

    def names(self) -> list[str]:
        """The datasets that have candidates."""
        return sorted(name for name, traces in self._traces.items() if traces)

    def put(self, rows: Sequence[Row]) -> None:
        """Write what was decided, in one commit; what is known already is not written again."""
        new = [row for row in rows if self._rows.get(row["trace_id"]) != row and self._says_something(row)]
        self._table.append([{**row, "number": self._next + place} for place, row in enumerate(new)])
        self._next += len(new)
        self._take(new)

    def select(self, name: str) -> Selection:
        """The members of a dataset, and why others are none; in each experiment by itself where the dataset
        is in each trace's own.
        """
        places: dict[str, list[Candidate]] = defaultdict(list)
        for trace_id in self.candidates_of(name):
            place = "" if self.sets.is_one(name) else str(self._decisions[trace_id].get("experiment_id"))
            places[place].append(self._candidate(name, trace_id))
        found = [select(one, self.sets.quotas(name), self.sets.keep(name)) for one in places.values()]
        left_out = {trace_id: why for one in found for trace_id, why in one.left_out.items()}
        return Selection(frozenset[str]().union(*(one.kept for one in found)), left_out)

    def class_of(self, pattern: str | None) -> str:
        """The merged error pattern that a failure's own belongs to; "" where nothing failed.

        Patterns that differ in a word that no mask knows are one, whichever set they are in.
        """
        if not pattern:
            return ""
        if self._classes is None:
            self._classes = classes_of(self._failures)
        return self._classes[pattern]

    def _says_something(self, row: Row) -> bool:
        return row["trace_id"] in self._rows or bool(json.loads(row["decision"])["categories"])

    def _take(self, rows: Iterable[Row]) -> None:
        for row in rows:
            trace_id = row["trace_id"]
            for name in self._fed.pop(trace_id, {}):
                self._traces[name].discard(trace_id)
            self._rows.pop(trace_id, None)
            self._decisions.pop(trace_id, None)
            decision = json.loads(row["decision"])
            categories = decision["categories"]
            if not categories:
                continue
            self._rows[trace_id], self._decisions[trace_id] = row, decision
            self._fed[trace_id] = self.sets.fed(categories)
            for name in self._fed[trace_id]:
                self._traces[name].add(trace_id)
            if row["pattern"] is not None and row["pattern"] not in self._failures:
                self._failures[row["pattern"]] = row["error_type"] or "", row["pattern_text"] or ""
                self._classes = None

    def _candidate(self, name: str, trace_id: str) -> Candidate:
        row, entry = self._rows[trace_id], self._fed[trace_id][name]
        group = dict(zip(row["group_by"] or [], row["group"] or [], strict=False))
        return Candidate(
            trace_id,
            int(row["end_us"]) // DAY_US,
            tuple(rule["rule"] for rule in entry["rules"]),
            self.class_of(row["pattern"]),
            {
                **group,
                "outcome": row["outcome"],
                "duration": duration_stratum(row["duration_us"]),
                "group": json.dumps(row["group"]),
            },
            row["record"] or "",
            row["inputs"] or "",
            row["signature"] or b"",
            bool(entry.get("person")),
            self.sets.is_approved(name, self._decisions[trace_id]["categories"]),
        )


def classes_of(failures: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    """For each pattern (fingerprint) the class it belongs to, given its error type and masked message."""
    by_type: dict[str, set[str]] = defaultdict(set)
    for error_type, text in failures.values():
        by_type[error_type].add(text)
    merged = {error_type: merged_patterns(texts) for error_type, texts in by_type.items()}
    return {
        pattern: f"{error_type}\n{merged[error_type][text]}"
        for pattern, (error_type, text) in failures.items()
    }


def chosen(store: Store, sets: DatasetSets, names: Iterable[str] | None = None) -> dict[str, Selection]:
    """The members of datasets by name (without the prefix), and why other candidates are none, as the store
    has them and the config says; of all that have candidates, or of ``names``. Changes nothing.

    Raises:
        StoreError: the store cannot be read.
    """
    pool = Pool(store, sets)
    return {name: pool.select(name) for name in (pool.names() if names is None else names)}


def left_out(store: Store, sets: DatasetSets, name: str) -> dict[str, int]:
    """How many candidates of a dataset are no members, by reason (``rules.selection.REASONS``), the most
    frequent reason first.
    """
    return chosen(store, sets, [name])[name].counts


def left_out_traces(store: Store, sets: DatasetSets) -> pl.DataFrame:
    """Every candidate that is no member: ``trace_id``, ``set``, ``reason``."""
    rows = [
        (trace_id, name, reason)
        for name, selection in chosen(store, sets).items()
        for trace_id, reason in selection.left_out.items()
    ]
    schema = {"trace_id": pl.String, "set": pl.String, "reason": pl.String}
    return pl.DataFrame(rows, schema, orient="row")
