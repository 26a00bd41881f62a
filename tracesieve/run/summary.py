"""What one ``run --once`` did: traces taken, alerts notified, what was delivered and what still waits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import polars as pl

from tracesieve.analysis.candidates import candidates, lines
from tracesieve.analysis.matches import matches_in
from tracesieve.datasets.sets import DatasetSets, default_sets
from tracesieve.terminal import wrapped

if TYPE_CHECKING:
    from store import Store

_COUNTERS = ("duplicates", "amended", "late", "expired", "left_out", "in_progress", "quarantined")


def last_batch(store: Store, stream_id: str) -> int:
    """The highest finished batch of the stream; -1 before the first."""
    done = store.table("batches").read(
        ["batch_id"], (pl.col("stream_id") == stream_id) & (pl.col("phase") == "end")
    )
    highest = done["batch_id"].max()
    return highest if isinstance(highest, int) else -1


def summary(
    store: Store,
    stream_id: str,
    after_batch: int,
    since_us: int,
    waiting: int,
    sets: DatasetSets | None = None,
) -> dict[str, Any]:
    """The document of ``run --once --json``: batches above ``after_batch``, notifications and deliveries from
    ``since_us`` on.

    ``traces`` and ``errors`` are net: an amendment adds nothing, a withdrawal takes away. ``categories`` are
    those of the traces of these batches; ``sets`` are the datasets of the config.
    """
    mine = (pl.col("stream_id") == stream_id) & (pl.col("batch_id") > after_batch)
    batches = store.table("batches").read(where=mine & (pl.col("phase") == "end"))
    facts = store.table("facts").read(["weight", "error", "trace_id", "start_us", "hits"], mine)
    facts = facts.with_columns(pl.col("weight").cast(pl.Int64))
    taken = facts.filter(pl.col("weight") > 0).unique("trace_id", keep="last", maintain_order=True)
    notified = (
        store.table("notifications")
        .read(["episode", "status", "notified_us"])
        .sort("notified_us", maintain_order=True)
    )
    last = notified.unique("episode", keep="last", maintain_order=True)
    delivered = store.table("deliveries").read(
        ["sink"], (pl.col("outcome") == "delivered") & (pl.col("at_us") >= since_us)
    )
    new = notified.filter(pl.col("notified_us") >= since_us)["status"].to_list()
    return {
        "traces": int(facts["weight"].sum()),
        "errors": int(facts.filter("error")["weight"].sum()),
        **{name: int(batches[name].sum() or 0) for name in _COUNTERS},
        "alerts": {
            "fired": new.count("firing"),
            "resolved": new.count("resolved"),
            "firing": last.filter(pl.col("status") == "firing").height,
        },
        "delivered": dict(sorted(delivered.group_by("sink").len().iter_rows())),
        "waiting": waiting,
        **candidates(store, taken, matches_in(store, taken, 0), sets or default_sets()),
    }


def render(document: Mapping[str, Any]) -> str:
    """The document as a paragraph, and a table of candidates where there are any."""
    alerts = document["alerts"]
    more = [f"{document[name]} {name.replace('_', ' ')}" for name in _COUNTERS if document[name]]
    sent = [f"{number} to {sink}" for sink, number in document["delivered"].items()]
    paragraph = (
        f"Took {document['traces']:,} new traces, {document['errors']:,} of them "
        f"errors{''.join(f', {one}' for one in more)}. "
        f"Alerts: {alerts['fired']} fired, {alerts['resolved']} resolved, {alerts['firing']} firing now. "
        f"Delivered: {', '.join(sent) or 'nothing'}; {document['waiting']:,} waiting."
    )
    table = lines(document) if document["categories"] else []
    return "\n".join([wrapped(paragraph), *table])
