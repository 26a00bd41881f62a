"""The experiments that a config names, as the server has them: which can be watched, and which are missing.

A partial loss is not taken for a total one: what is there is watched, what is not is named, with the reason.
An experiment that was renamed on the server is known by the traces that landed from it under its old name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import polars as pl

from store import Store
from streams.errors import UnknownExperiment

_SHOWN = 50  # experiments in a message


class OnServer(NamedTuple):
    """An experiment of a server; a deleted one can be restored."""

    id: str
    name: str
    deleted: bool


@dataclass(frozen=True)
class Missing:
    """An experiment of the config that cannot be watched; ``wanted`` is what the config calls it."""

    wanted: str
    reason: Literal["deleted", "unknown"]
    id: str = ""

    def __str__(self) -> str:
        if self.reason == "unknown":
            return f"there is no experiment {self.wanted}"
        back = f"`mlflow experiments restore --experiment-id {self.id}` brings it back"
        return f"experiment {self.wanted} ({self.id}) was deleted ({back})"


@dataclass(frozen=True)
class Configured:
    """What became of the experiments of a config, in its order.

    ``names``: the name by id of those that can be watched. ``renamed``: of those that are found by their
    traces alone, the new name by the old one. ``others``: what else the server has, for messages.
    """

    names: Mapping[str, str]
    missing: Sequence[Missing]
    renamed: Mapping[str, str]
    others: Sequence[str]

    def check(self, uri: str) -> None:
        """See whether any can be watched.

        Raises:
            UnknownExperiment: none can; says why of each, and lists what the server has.
        """
        if not self.names:
            why = "; ".join(map(str, self.missing))
            known = ", ".join(self.others[:_SHOWN]) or "none"
            raise UnknownExperiment(f"source.experiments: {uri}: {why}; there are: {known}")

    def problems(self, known: Collection[str] = ()) -> list[str]:
        """A line for each that is missing or renamed, but for the ids that are ``known`` to be missing."""
        missing = (one for one in self.missing if one.id not in known)
        found = [f"source.experiments: {one}; the others are watched" for one in missing]
        return found + [
            f"source.experiments: {old} is called {new} now, and is watched: write the new name, or its id"
            for old, new in self.renamed.items()
        ]


def configured(
    wanted: Sequence[str], on_server: Iterable[OnServer], landed_as: Mapping[str, str]
) -> Configured:
    """Look for the experiments that a config names; a name wins over an id, one that is there over a deleted
    one. ``landed_as``: by name, the id of the experiments whose traces landed under it.
    """
    there = list(on_server)
    active = {one.id: one.name for one in there if not one.deleted}
    by_name = {name: key for key, name in active.items()}
    deleted = {one.id: one for one in there if one.deleted} | {one.name: one for one in there if one.deleted}
    names: dict[str, str] = {}
    missing: list[Missing] = []
    renamed: dict[str, str] = {}
    for one in wanted:
        former = landed_as.get(one, "")
        if (key := by_name.get(one, one)) in active:
            names[key] = active[key]
        elif one in deleted:
            missing.append(Missing(one, "deleted", deleted[one].id))
        elif former in active:
            names[former] = renamed[one] = active[former]
        else:
            gone = deleted.get(former)
            missing.append(Missing(one, "deleted", gone.id) if gone else Missing(one, "unknown"))
    others = [f"{name} ({key})" for key, name in sorted(active.items(), key=lambda pair: pair[1])]
    return Configured(names, missing, renamed, others)


def landed_as(store: Store, wanted: Sequence[str]) -> dict[str, str]:
    """By name, the id of the experiment whose traces landed last under that name, of the names given."""
    rows = store.table("traces").read(
        ["experiment_id", "experiment_name", "landed_us"], pl.col("experiment_name").is_in(list(wanted))
    )
    last = rows.sort("landed_us").unique("experiment_name", keep="last")
    return dict(last.select("experiment_name", "experiment_id").drop_nulls().iter_rows())
