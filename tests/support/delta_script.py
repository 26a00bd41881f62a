"""Random writes to a Delta table of traces: append, twice, amend, UPDATE, MERGE, DELETE, OPTIMIZE."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable
from support.delta_cases import SHORT, trace, write

DOOMED = 5_000  # traces from this number on are deleted; they end hours after the others


class Script:
    """Random writes to a table; it knows the row that each trace has now."""

    def __init__(self, table: Path, seed: int) -> None:
        self.table, self.random = table, random.Random(seed)
        self.now: dict[int, dict[str, Any]] = {}
        self.states: dict[int, list[str]] = {}
        self.deleted = 0

    def delta(self) -> DeltaTable:
        return DeltaTable(str(self.table))

    def some(self, most: int) -> list[int]:
        alive = [number for number in self.now if number < DOOMED]
        return self.random.sample(alive, min(len(alive), self.random.randint(1, most)))

    def append(self) -> None:
        first = len(self.now)
        for number in range(first, first + self.random.randint(1, 12)):
            self.now[number] = trace(number)
        rows = [self.now[number] for number in range(first, len(self.now))]
        self.random.shuffle(rows)
        write(self.table, rows)

    def twice(self) -> None:
        write(self.table, [self.now[number] for number in self.some(6)])

    def amend(self) -> None:
        """A longer duration: a later change, appended beside the row that was."""
        for number in self.some(4):
            longer = self.now[number]["execution_duration_ms"] + 1_000.0
            self.now[number] = {**self.now[number], "execution_duration_ms": longer}
            write(self.table, [self.now[number]])

    def update(self) -> None:
        """A new state: no later change inside the trace, so a tie; no state comes twice, which none could
        tell apart.
        """
        for number in self.some(3):
            left = self.states.setdefault(number, ["STATE_UNSPECIFIED", "ERROR" if number % 7 else "OK"])
            if left:
                self.now[number] = {**self.now[number], "state": left.pop()}
                self.delta().update(
                    predicate=f"trace_id = 'tr-{number}'", updates={"state": f"'{self.now[number]['state']}'"}
                )

    def merge(self) -> None:
        """An upsert of amended and new traces, which also rewrites the rows beside them."""
        numbers = self.some(3)
        for number in numbers:
            longer = self.now[number]["execution_duration_ms"] + 500.0
            self.now[number] = {**self.now[number], "execution_duration_ms": longer}
        fresh = len(self.now)
        self.now[fresh] = trace(fresh)
        rows = pa.Table.from_pylist([self.now[number] for number in [*numbers, fresh]], schema=SHORT)
        merged = self.delta().merge(rows, "s.trace_id = t.trace_id", source_alias="s", target_alias="t")
        merged.when_matched_update_all().when_not_matched_insert_all().execute()

    def delete(self) -> None:
        number = DOOMED + self.random.randrange(1_000)
        write(self.table, [trace(number, tags=[])])
        self.read()
        self.deleted += self.delta().delete(f"trace_id = 'tr-{number}'")["num_deleted_rows"]

    def optimize(self) -> None:
        self.delta().optimize.compact()

    def read(self) -> None:
        """What happens between two writes, here: nothing."""


def play(script: Script, steps: int, read: Any) -> None:
    kinds = [
        script.append,
        script.twice,
        script.amend,
        script.update,
        script.merge,
        script.delete,
        script.optimize,
    ]
    first = [script.append, *script.random.sample(kinds, len(kinds))]  # each kind at least once
    for step in [*first, *script.random.choices(kinds, k=steps - len(first))]:
        step()
        if script.random.random() < 0.25:
            read()
