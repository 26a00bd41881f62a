"""The experiments of a store and of its config: which are searched, and what is wrong with the names that
somebody asks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import polars as pl

from store.store import Store
from tracesieve.errors import TracesieveError

_KEY = ["experiment_id", "experiment"]
_SHOWN = 20  # experiments that a message lists


@dataclass(frozen=True)
class Experiment:
    """One experiment; ``id`` is empty where its traces have none, ``name`` where they name none.

    ``named`` are all texts that mean it: its id, its name, those that it had, and what the config calls it.
    ``watched`` is whether the config has it; where a config names none, all are.
    """

    id: str
    name: str
    named: frozenset[str]
    watched: bool = True

    def __str__(self) -> str:
        if not self.id or self.id == self.name:
            return self.name or "(no experiment)"
        return f"{self.name} ({self.id})"

    def of(self) -> pl.Expr:
        """Whether a fact is of it."""
        if self.id:
            return (pl.col("experiment_id") == self.id).fill_null(False)
        nameless = pl.col("experiment_id").fill_null("") == ""
        return nameless & (pl.col("experiment").fill_null("") == self.name)


def experiments(store: Store, watched: Sequence[str] | None) -> list[Experiment]:
    """Those that have traces in the store, by name, and those of the config that have none yet.

    ``watched`` are the names and ids of the config, None where it names none.
    """
    standing = store.table("facts").read([*_KEY, "arrived_us"], pl.col("weight") != 0)
    pairs = standing.group_by(_KEY).agg(pl.col("arrived_us").max()).sort("arrived_us", *_KEY)
    of_id: dict[tuple[str, str], list[str]] = {}
    for id_, name, _ in pairs.iter_rows():
        of_id.setdefault((id_ or "", "" if id_ else name or ""), []).append(name or "")
    found = []
    for (id_, name), names in of_id.items():
        every = frozenset({id_, name, *names} - {""})
        is_watched = watched is None or bool(every & set(watched))
        found.append(Experiment(id_, names[-1], every, is_watched))
    known = {name for one in found for name in one.named}
    found += [Experiment("", name, frozenset({name})) for name in watched or () if name not in known]
    return sorted(found, key=lambda one: (one.name, one.id))


def chosen(
    there: Sequence[Experiment], wanted: Sequence[str], option: str = "--experiment"
) -> list[Experiment]:
    """Those that are meant by the names or ids ``wanted``; all of one name, if several have it.

    Raises:
        TracesieveError: some are neither in the store nor in the config; all of them at once, each with the
            nearest name, and those that there are.
    """
    names = sorted({name for one in there for name in one.named})
    wrong = []
    for text in dict.fromkeys(wanted):
        if text not in names:
            near = get_close_matches(text, names, 1, 0.6)
            hint = f"; did you mean {near[0]}?" if near else ""
            wrong.append(f"{option} {text}: not among the experiments that are watched{hint}")
    if wrong:
        listed = ", ".join(map(str, there[:_SHOWN])) or "none has traces yet"
        more = f" and {len(there) - _SHOWN} more" if len(there) > _SHOWN else ""
        raise TracesieveError("\n".join([*wrong, f"there are: {listed}{more}"]))
    return [one for one in there if one.named & set(wanted)]
