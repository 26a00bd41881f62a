"""How far the source has been counted: ``final_through`` (SEMANTICS 13), for a run and for commands that
read.

A source that lands gives watermarks: all that ended by a time is in rows landed by another.  A watermark
holds once those rows have been counted, so ``final_through`` moves on without traffic.  Of a table that is
read as it is, it is the commit time of the last version that was counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from rules.units import HOUR_US
from store.store import Store

_WAITING = 10_000  # watermarks of one part whose rows have not been counted yet


@dataclass(frozen=True)
class Watermark:
    """All of this part of the source that ended by ``through_us`` is in rows landed by ``landed_us``."""

    part: str
    through_us: int
    landed_us: int


class FinalThrough:
    """``final_through`` of one stream; ``lands``: whether its source gives watermarks."""

    def __init__(self, *, lands: bool) -> None:
        self._lands = lands
        self._waiting: dict[str, deque[Watermark]] = {}
        self._final_us: dict[str, int] = {}

    def add(self, watermarks: Iterable[Watermark]) -> None:
        """Note watermarks, those of one part in rising order; of all parts before :meth:`through_us` is
        asked.
        """
        for one in watermarks:
            waiting = self._waiting.setdefault(one.part, deque(maxlen=_WAITING))
            if not waiting or waiting[-1].through_us < one.through_us:
                waiting.append(one)

    def through_us(self, arrived_through_us: int | None) -> int | None:
        """Given the greatest arrival time among counted rows, µs; None while nothing is known."""
        if not self._lands:
            return arrived_through_us
        for part, waiting in self._waiting.items():
            while waiting and waiting[0].landed_us <= (arrived_through_us or 0):
                self._final_us[part] = waiting.popleft().through_us
        if not self._final_us or self._final_us.keys() != self._waiting.keys():
            return None
        return min(self._final_us.values())


def evaluate_through_us(final_us: int | None, now_us: int, evaluate_after_us: int) -> int:
    """Verdicts may be given up to here: what is counted wholly, and whatever is ``evaluate_after`` old
    (SEMANTICS 14).
    """
    return max(min(final_us or 0, now_us), now_us - evaluate_after_us)


def stored_final_through_us(store: Store) -> int | None:
    """``final_through`` by the tables alone, µs; None while nothing is known.

    Where there is no traffic it is at most a minute behind that of the run.
    """
    arrived = (
        store.table("batches")
        .read(["arrived_through_us"], pl.col("phase") == "end")["arrived_through_us"]
        .max()
    )
    arrived_us = arrived if isinstance(arrived, int) else None
    landing = store.table("landing").read(["experiment_id", "kind", "to_us", "landed_through_us", "at_us"])
    final = FinalThrough(lands=not landing.is_empty())
    if landing.height:
        watermarks = _stored_watermarks(landing)
        if watermarks is None:
            return None
        final.add(watermarks)
    return final.through_us(arrived_us)


def _stored_watermarks(landing: pl.DataFrame) -> list[Watermark] | None:
    """The watermarks of every part, in rising order; None where one has none."""
    # An experiment that left the config keeps its rows, and holds nothing back.
    recent = landing.filter(pl.col("at_us").max().over("experiment_id") >= pl.col("at_us").max() - HOUR_US)
    # What a comparison found complete while a backlog was still to be read is no watermark, nor is what was
    # one before an earlier start was asked for.
    recounted = pl.col("at_us").filter(pl.col("kind") == "recount").max().over("experiment_id")
    whole = recent.filter((pl.col("kind") == "reconcile") & (pl.col("at_us") > recounted.fill_null(-1)))
    if whole["experiment_id"].n_unique() < recent["experiment_id"].n_unique():
        return None
    latest = whole.group_by("experiment_id", "landed_through_us").agg(pl.col("to_us").max()).sort("to_us")
    return [
        Watermark(*row) for row in latest.select("experiment_id", "to_us", "landed_through_us").iter_rows()
    ]
