"""What is kept for how long: the defaults, and for each table which of its old rows stay all the same.

Rows expire by whole days (UTC) of the column that ``TableSpec.expires_by`` names.  A row that something still
depends on stays however old it is: a wish that waits, the newest wish of a target (what ``undo`` goes by), an
alert that fires, the last batch of a stream.  Both rows of a changelog's pair bear the same time, so they go
in one commit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Final

import polars as pl

from rules.units import DAY_US
from store.outbox import FINAL
from store.schemas import TABLES
from store.store import Store

_DAYS: Final = {
    "traces": 30,
    "landing": 7,
    "batches": 30,
    "facts": 90,
    "windows": 400,
    "quarantine": 30,
    "in_progress": 30,
    "candidates": 90,
    "verdicts": 400,
    "evidence": 90,
    "notifications": 400,
    "outbox": 30,
    "deliveries": 30,
}
DEFAULTS_US: Final[dict[str, int]] = {name: days * DAY_US for name, days in _DAYS.items()}

Keeps = Callable[[Store, pl.DataFrame, int], pl.DataFrame]


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
        if name not in DEFAULTS_US:
            found.append(f"{name}: there is no such table that expires (there are: {', '.join(DEFAULTS_US)})")
        elif name in least and kept < least[name][1] + 2 * DAY_US:
            what, needed = least[name]
            days = -(-(needed + 2 * DAY_US) // DAY_US)
            found.append(f"{name}: is too short: at least two days more than {what}, which is {days}d")
    return found


def day_before(now_us: int, kept_us: int) -> int:
    """The last midnight (UTC) that is at least ``kept_us`` before ``now_us``."""
    return (now_us - kept_us) // DAY_US * DAY_US


def standing(store: Store, name: str, rows: pl.DataFrame, cutoff_us: int) -> pl.DataFrame:
    """Of some rows of a table those that stay when what is older than ``cutoff_us`` expires, in the same
    order.
    """
    keeps = _KEEPS.get(name)
    column = TABLES[name].expires_by
    assert column is not None
    return rows.filter(pl.col(column) >= cutoff_us) if keeps is None else keeps(store, rows, cutoff_us)


def _batches(store: Store, rows: pl.DataFrame, cutoff_us: int) -> pl.DataFrame:
    """The last batch of a stream says where its followers are."""
    last = (
        store.table("batches")
        .read(["stream_id", "batch_id"])
        .group_by("stream_id")
        .agg(pl.col("batch_id").max())
    )
    return rows.filter(
        (pl.col("now_us") >= cutoff_us) | pl.struct("stream_id", "batch_id").is_in(last.to_struct().implode())
    )


def _landing(_store: Store, rows: pl.DataFrame, cutoff_us: int) -> pl.DataFrame:
    """Cursors are the greatest and least times of all rows: the old ones become one row an experiment and
    kind.
    """
    old = rows.filter(pl.col("at_us") < cutoff_us)
    summed = old.group_by("experiment_id", "kind", maintain_order=True).agg(
        pl.col("from_us").min(),
        pl.col("to_us").max(),
        pl.col("landed", "skipped").sum(),
        pl.col("in_progress").last(),
        pl.col("missed").sum(),
        pl.col("landed_through_us", "at_us").max(),
    )
    return pl.concat([summed.select(rows.columns), rows.filter(pl.col("at_us") >= cutoff_us)])


_VERDICT = ["rule", "rule_hash", "by", "group", "instant_us", "state", "since_us"]


def _verdicts(store: Store, rows: pl.DataFrame, cutoff_us: int) -> pl.DataFrame:
    """What a group was last is where its next verdict goes on from; what is over is the same as nothing."""
    every = store.table("verdicts").read([*_VERDICT, "weight"])
    net = every.group_by(_VERDICT).agg(pl.col("weight").cast(pl.Int64).sum()).filter(pl.col("weight") > 0)
    newest = net.sort("instant_us").unique(["rule_hash", "by", "group"], keep="last")
    last = newest.filter(pl.col("state").is_in(["pending", "firing"]))
    old = rows.filter(pl.col("instant_us") < cutoff_us).join(
        last.select(_VERDICT), on=_VERDICT, how="semi", nulls_equal=True
    )
    return pl.concat([old, rows.filter(pl.col("instant_us") >= cutoff_us)])


def _notifications(store: Store, rows: pl.DataFrame, cutoff_us: int) -> pl.DataFrame:
    """An episode goes as a whole, and only once it has been said to be over."""
    said = (
        store.table("notifications")
        .read(["episode", "status", "notified_us"])
        .sort("notified_us", maintain_order=True)
    )
    last = said.unique("episode", keep="last", maintain_order=True)
    over = last.filter((pl.col("status") == "resolved") & (pl.col("notified_us") < cutoff_us))
    return rows.filter(~pl.col("episode").is_in(over["episode"].implode()))


def _outbox(store: Store, rows: pl.DataFrame, cutoff_us: int) -> pl.DataFrame:
    """Wishes that wait; the newest of each target, unless it took everything back; the last number that was
    given.
    """
    messages = store.table("outbox").read(["key", "seq", "sink", "target"])
    acks = store.table("deliveries").read(["key", "outcome", "at_us"]).with_row_index("_row")
    settled_for_good = pl.col("outcome").is_in(["delivered", "superseded"])
    last = acks.sort(settled_for_good, "at_us", "_row").unique("key", keep="last", maintain_order=True)
    settled = last.filter(pl.col("outcome").is_in(FINAL))
    newest = messages.sort("seq").unique(["sink", "target"], keep="last", maintain_order=True)
    delivered = settled.filter(pl.col("outcome") == "delivered")["key"].implode()
    nothing = pl.col("payload").map_elements(_takes_back, return_dtype=pl.Boolean) & pl.col(
        "sink"
    ).str.starts_with("mlflow_")
    keep = (
        (pl.col("created_us") >= cutoff_us)
        | ~pl.col("key").is_in(settled["key"].implode())
        | (pl.col("key").is_in(newest["key"].implode()) & ~(pl.col("key").is_in(delivered) & nothing))
        | (pl.col("seq") == messages["seq"].max())
    )
    return rows.filter(keep)


def _takes_back(payload: str) -> bool:
    said = json.loads(payload)
    return not (said.get("category") or said.get("rules") or said.get("categories"))


def _deliveries(store: Store, rows: pl.DataFrame, cutoff_us: int) -> pl.DataFrame:
    """What became of a wish stays with the wish."""
    messages = store.table("outbox").read(["key"])["key"].implode()
    return rows.filter((pl.col("at_us") >= cutoff_us) | pl.col("key").is_in(messages))


_KEEPS: Final[dict[str, Keeps]] = {
    "batches": _batches,
    "landing": _landing,
    "verdicts": _verdicts,
    "notifications": _notifications,
    "outbox": _outbox,
    "deliveries": _deliveries,
}
