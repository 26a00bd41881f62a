"""How long rows are kept: the defaults, the check of a config's ``retention``, and which rows stay.

Rows expire by whole days (UTC) of the column that ``TableSpec.expires_by`` names.  A row that something still
depends on stays however old it is: a message that waits, the newest message of a target (what ``undo`` goes
by), an alert that fires, the last batch of a stream.  Which rows those are is stated beside each
table's columns (``store/schemas/``).  Both rows of a changelog's pair bear the same time, so they go in one
commit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import polars as pl

from rules.units import DAY_US
from store.schemas import TABLES
from store.schemas.spec import Expiry, IsWithdrawal
from store.store import Store

DEFAULTS_US: Final[dict[str, int]] = {
    name: spec.kept_days * DAY_US for name, spec in TABLES.items() if spec.kept_days is not None
}
RENAMED: Final = {"candidates": "person_labels"}  # in store version 3


def mistakes(
    retention_us: Mapping[str, int], dedupe_horizon_us: int, revise_us: int, relists_us: int = 0
) -> list[str]:
    """What is wrong with a config's ``retention``, one message each: unknown tables, and times that lose what
    is needed.

    ``relists_us`` is how far back landing looks at the source again: what landed since then must still be
    known.
    """
    least = {
        "facts": ("dedupe_horizon", dedupe_horizon_us),
        "traces": ("the source's amend_for", relists_us),
        "windows": ("revise_for", revise_us),
        "verdicts": ("revise_for", revise_us),
    }
    found = []
    for name, kept in retention_us.items():
        if name in RENAMED:
            found.append(f"{name}: this table is called {RENAMED[name]} now")
        elif name not in DEFAULTS_US:
            found.append(f"{name}: there is no such table that expires (there are: {', '.join(DEFAULTS_US)})")
        elif name in least and kept < least[name][1] + 2 * DAY_US:
            what, needed = least[name]
            days = -(-(needed + 2 * DAY_US) // DAY_US)
            found.append(f"{name}: is too short: at least two days more than {what}, which is {days}d")
    return found


def day_before(now_us: int, kept_us: int) -> int:
    """The last midnight (UTC) that is at least ``kept_us`` before ``now_us``."""
    return (now_us - kept_us) // DAY_US * DAY_US


def standing(
    store: Store, name: str, rows: pl.DataFrame, cutoff_us: int, is_withdrawal: IsWithdrawal
) -> pl.DataFrame:
    """Of some rows of a table those that stay when what is older than ``cutoff_us`` expires, in the same
    order.

    ``is_withdrawal``: see :class:`store.schemas.spec.Expiry`.
    """
    spec = TABLES[name]
    assert spec.expires_by is not None
    if spec.keeps is not None:
        return spec.keeps(Expiry(store, cutoff_us, is_withdrawal), rows)
    return rows.filter(pl.col(spec.expires_by) >= cutoff_us)
