"""The store: its version, its tables and how large they are, who holds it, how far its followers have
come.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from rules.units import MINUTE_US, iso_time
from store import Store, StoreError, open_store
from store.apply_log import APPLY
from store.lease import holder
from store.lease.row_lease import Holder
from store.maintenance.compact import SMALL_BYTES, SMALL_FILES
from store.outbox import Outbox, messages_cursor
from store.rewrite import bound, files_of
from store.schemas import TABLES
from store.upgrades.upgrade import STORE_VERSION, version_of
from streams.checkpoint import checkpoint_of, read_through
from tracesieve.config.settings import Settings
from tracesieve.doctor.check import Check, one_line
from tracesieve.json_output import iso, with_times
from tracesieve.run.maintenance import maintenance_needs

_LAG_US = 5 * MINUTE_US  # from here on a run is reported as behind


def examine(settings: Settings, now_us: int) -> Iterator[Check]:
    """The store, if there is one."""
    path = settings.store_path
    try:
        version = version_of(path)
        if version is None:
            yield Check("store", "ok", f"none at {path} yet", "`tracesieve run` makes it")
            return
        if version < STORE_VERSION:
            yield Check(
                "store", "warn", f"{path} has store version {version}", "`tracesieve run` upgrades it"
            )
            return
        store = open_store(path, create=False)
    except (StoreError, OSError) as error:
        yield Check("store", "fail", one_line(error))
        return
    yield _tables(store, settings, version, now_us)
    held = holder(path)
    found = (
        "held by nobody: no run is going on"
        if held is None
        else f"held by a run, pid {held.pid} on {held.host}"
    )
    yield Check("lease", "ok", found, details={} if held is None else {"host": held.host, "pid": held.pid})
    yield _cursors(store, settings, held, now_us)
    yield _outbox(store, now_us, held)


def _tables(store: Store, settings: Settings, version: int, now_us: int) -> Check:
    kept = maintenance_needs(settings)
    tables = []
    for name, spec in TABLES.items():
        found = _table(store, name, spec.expires_by)
        if found is not None:
            days = kept.kept_days(name)
            tables.append({"table": name, **found, "kept_days": days})
    crowded = [table["table"] for table in tables if table["small_files"] > 3 * SMALL_FILES]
    size = sum(table["bytes"] for table in tables)
    size_text = f"{store.path}: version {version}, {len(tables)} tables, {size / 1e6:,.1f} MB"
    details = {"path": store.path, "version": version, "tables": tables, "checked_us": now_us}
    details["checked"] = iso(now_us)
    if crowded:
        hint = (
            "a run compacts them by itself within minutes; if none is going on, `tracesieve run --once` does"
        )
        return Check("store", "warn", f"{size_text}; many small files: {', '.join(crowded)}", hint, details)
    return Check("store", "ok", size_text, details=details)


def _table(store: Store, name: str, column: str | None) -> dict[str, Any] | None:
    """Figures of a table from its log alone."""
    delta = store.table(name).fresh()
    if delta is None:
        return None
    files = files_of(delta)
    low, high = (bound(files, which, column).drop_nulls() if column else None for which in ("min", "max"))
    figures = {
        "rows": int(files["num_records"].sum() or 0),
        "bytes": int(files["size_bytes"].sum() or 0),
        "files": files.height,
        "small_files": files.filter(pl.col("size_bytes") < SMALL_BYTES).height,
        "version": delta.version(),
        "oldest_us": low.min() if low is not None and low.len() else None,
        "newest_us": high.max() if high is not None and high.len() else None,
    }
    return with_times(figures, oldest="oldest_us", newest="newest_us")


def _cursors(store: Store, settings: Settings, held: Holder | None, now_us: int) -> Check:
    """The last finished batch, and how far behind it (or now) each follower is."""
    batches = (
        store.table("batches")
        .read(["stream_id", "batch_id", "phase", "now_us"])
        .sort("now_us", maintain_order=True)
    )
    ended = batches.filter((pl.col("phase") == "end") & (pl.col("stream_id") != APPLY))
    details: dict[str, Any] = {"source_version": read_through(checkpoint_of(settings.store_path))}
    if not ended.height:
        return Check("cursors", "ok", "no batch has ended yet", details=details)
    stream, last, at_us = ended["stream_id"][-1], ended["batch_id"][-1], ended["now_us"][-1]
    details |= {"stream_id": stream, "batch_id": last, "batch_us": at_us, "batch_began": iso(at_us)}
    found = [f"batch {last} of {iso_time(at_us)}"]
    messages = store.table("outbox").app_version(messages_cursor(stream))
    if messages is not None:
        details["messages_behind_batches"] = max(last - messages, 0)
        found.append(f"messages {max(last - messages, 0)} batches behind")
    instants = store.table("verdicts").app_version("instants")
    if instants is not None:
        details |= {"verdicts_through_us": instants, "verdicts_through": iso(instants)}
        found.append(f"verdicts through {iso_time(instants)}")
    if held is not None and instants is not None and now_us - instants > _LAG_US:
        behind = (now_us - instants) // MINUTE_US
        return Check(
            "cursors", "warn", "; ".join(found), f"the run is {behind} minutes behind: see its log", details
        )
    return Check("cursors", "ok", "; ".join(found), details=details)


def _outbox(store: Store, now_us: int, held: Holder | None) -> Check:
    rows = Outbox(store).rows()
    dead = [row for row in rows if row["outcome"] == "dead"]
    waiting = [row for row in rows if row["outcome"] not in ("dead", "dropped")]
    by_sink: dict[str, int] = {}
    for row in waiting:
        by_sink[row["sink"]] = by_sink.get(row["sink"], 0) + 1
    oldest = min((row["created_us"] for row in waiting), default=now_us)
    details = {"waiting": by_sink, "dead": len(dead), "oldest_waiting_us": oldest if waiting else None}
    details = with_times(details, oldest="oldest_waiting_us")
    sinks = ", ".join(f"{count} for {sink}" for sink, count in sorted(by_sink.items()))
    counts = f"{sinks or 'nothing'} waiting, {len(dead)} refused for good"
    if dead:
        return Check(
            "outbox",
            "warn",
            counts,
            "`tracesieve outbox list` says why; `outbox retry` or `outbox drop` settles them",
            details,
        )
    if held is not None and now_us - oldest > _LAG_US:
        return Check(
            "outbox",
            "warn",
            f"{counts}, the oldest since {iso_time(oldest)}",
            "a sink is down: see the checks above",
            details,
        )
    return Check("outbox", "ok", counts, details=details)
