"""The candidates of all datasets, as they were decided last: a table of the store, held in memory."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import polars as pl

from rules.failures import merged_patterns
from rules.selection import Candidate, Chooser, Selection, duration_stratum
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
        self._choosers: dict[str, dict[str, Chooser]] = defaultdict(dict)  # by set, by place
        self._failures: dict[str, tuple[str, str]] = {}  # by pattern: the error's type, the masked message
        self._classes: dict[str, str] = {}  # by pattern
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

    def names(self) -> list[str]:
        """The datasets that ever had candidates."""
        return sorted(self._choosers)

    def put(self, rows: Sequence[Row]) -> None:
        """Write what was decided, in one commit; what is known already is not written again."""
        new = [row for row in rows if self._rows.get(row["trace_id"]) != row and self._says_something(row)]
        self._table.append([{**row, "number": self._next + place} for place, row in enumerate(new)])
        self._next += len(new)
        self._take(new)

    def members(self, name: str) -> set[str]:
        """The members of a dataset; in each experiment by itself where it is in each trace's own."""
        return set[str]().union(*(one.kept() for one in self._choosers[name].values()))

    def selection(self, name: str, experiment_id: str | None = None) -> Selection:
        """The members of a dataset, and why others are none; of all experiments, or of one where it is in
        each trace's own.
        """
        places = self._choosers.get(name, {})
        wanted = {experiment_id or "": places.get(experiment_id or "")} if experiment_id else places
        found = [one.selection() for one in wanted.values() if one is not None]
        left_out = {trace_id: why for one in found for trace_id, why in one.left_out.items()}
        return Selection(frozenset[str]().union(*(one.kept for one in found)), left_out)

    def class_of(self, pattern: str | None) -> str:
        """The merged error pattern that a failure's own belongs to; "" where nothing failed.

        Patterns that differ in a word that no mask knows are one, whichever set they are in.
        """
        if not pattern:
            return ""
        return self._classes[pattern]

    def _says_something(self, row: Row) -> bool:
        return row["trace_id"] in self._rows or bool(json.loads(row["decision"])["categories"])

    def _take(self, rows: Iterable[Row]) -> None:
        taken = list(rows)
        self._classify(taken)
        for row in taken:
            trace_id, decision = row["trace_id"], json.loads(row["decision"])
            self._withdraw(trace_id)
            if decision["categories"]:
                self._rows[trace_id], self._decisions[trace_id] = row, decision
                self._fed[trace_id] = self.sets.fed(decision["categories"])
                self._enter(trace_id)

    def _withdraw(self, trace_id: str) -> None:
        for name in self._fed.pop(trace_id, {}):
            self._choosers[name][self._place(name, trace_id)].remove(trace_id)
        self._rows.pop(trace_id, None)
        self._decisions.pop(trace_id, None)

    def _enter(self, trace_id: str) -> None:
        for name in self._fed[trace_id]:
            places, place = self._choosers[name], self._place(name, trace_id)
            if place not in places:
                places[place] = Chooser(self.sets.quotas(name), self.sets.keep(name))
            places[place].put(self._candidate(name, trace_id))

    def _place(self, name: str, trace_id: str) -> str:
        return "" if self.sets.is_one(name) else str(self._decisions[trace_id].get("experiment_id"))

    def _classify(self, rows: Sequence[Row]) -> None:
        """Find the classes of patterns again where there are new ones, and candidates whose class is another
        one now.
        """
        new = {
            row["pattern"]: (row["error_type"] or "", row["pattern_text"] or "")
            for row in rows
            if row["pattern"] is not None and row["pattern"] not in self._failures
        }
        if not new:
            return
        self._failures |= new
        before, self._classes = self._classes, classes_of(self._failures)
        moved = {pattern for pattern, name in before.items() if self._classes[pattern] != name}
        for trace_id, row in self._rows.items() if moved else ():
            if row["pattern"] in moved:
                self._enter(trace_id)

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
    return {name: pool.selection(name) for name in (pool.names() if names is None else names)}


def left_out(store: Store, sets: DatasetSets, name: str) -> dict[str, int]:
    """How many candidates of a dataset are no members, by reason (``rules.selection.REASONS``), the most
    frequent reason first.
    """
    return chosen(store, sets, [name])[name].counts


def standings(store: Store, sets: DatasetSets) -> pl.DataFrame:
    """Every candidate of every dataset: ``trace_id``, ``set`` (without the prefix), ``reason``: "" for a
    member, else why it is none.
    """
    rows = []
    for name, selection in chosen(store, sets).items():
        rows += [(trace_id, name, "") for trace_id in selection.kept]
        rows += [(trace_id, name, reason) for trace_id, reason in selection.left_out.items()]
    schema = {"trace_id": pl.String, "set": pl.String, "reason": pl.String}
    return pl.DataFrame(rows, schema, orient="row")


def left_out_of(store: Store, sets: DatasetSets, trace_id: str) -> dict[str, str]:
    """The datasets, by whole name, of which a trace is a candidate and no member, with the reason."""
    pool = Pool(store, sets)
    found = {name: pool.selection(name).left_out.get(trace_id) for name in pool.sets_of(trace_id)}
    return {f"{sets.prefix}_{name}": reason for name, reason in sorted(found.items()) if reason is not None}
