"""The evidence of alerts that a follower has not made messages of."""

from __future__ import annotations

import polars as pl

from store.errors import TailLost
from store.tail import Tail
from tracesieve.alerts.evidence import APP as EVIDENCE


def evidence_after(tail: Tail, number: int, rows: pl.DataFrame) -> pl.DataFrame:
    """The evidence of the commits after that number; all of it if the log no longer goes back so far."""
    found: list[pl.DataFrame] = []
    try:
        for commit in tail.back():
            if (of_commit := commit.transactions.get(EVIDENCE)) is not None:
                if of_commit <= number:
                    return pl.concat(found) if found else rows.clear()
                found.append(commit.rows.select("trace_id", "start_us"))
                if of_commit == 1:
                    return pl.concat(found)
    except TailLost:
        pass  # compacted since
    return rows
