"""2 → 3: tables, columns and cursors have the names of their domain, and grouping keys are lists.

``packs`` is ``rule_sets``, ``candidates`` is ``person_labels``; the followers' cursors go on under new names,
since a cursor that began anew would make messages for everything once more, also for what ``undo`` took back.
A batch that was cut short after its facts is finished by what their commit says of it: the commit that
switches ``facts`` says it again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

from deltalake import CommitProperties, DeltaTable, Transaction

from store.files import SmallFiles
from store.upgrades.conversion import APP_ID, Carried, Conversion, Options, convert, opened

VERSION: Final = 3
_CONVERSIONS: Final = (
    Conversion("packs", "rule_sets", {"pack_hash": "rule_set_hash", "pack": "rule_set"}, ("group_by",)),
    Conversion("candidates", "person_labels", {"candidate": "label"}),
    Conversion("batches", "batches", {"pack_hash": "rule_set_hash"}, ("group_by",)),
    Conversion("windows", "windows", {}, ("group_by",)),
    Conversion("verdicts", "verdicts", {}, ("by",)),
    Conversion("notifications", "notifications", {"said_us": "notified_us"}, ("by",)),
    Conversion("facts", "facts", {}, ("group_by",)),
)
_IDENTITY = "checkpoint/tracesieve-stream.json"
# What the commit of a batch's facts says of the batch.
_SAYS = (
    *("rows", "counted", "duplicates", "late", "amended", "expired", "left_out", "in_progress"),
    *("quarantined", "deleted", "arrived_through_us", "app"),
)
_COMMITS = 200  # among as many of the last ones a batch's facts are looked for


def upgrade(path: str, options: Options) -> None:
    """Convert what is not converted yet; the checkpoint and ``traces`` are not touched."""
    path = path.rstrip("/")
    streams = _streams(path, options)
    for one in _CONVERSIONS:
        convert(path, options, one, VERSION, _carried(one.before, streams))
    _move_cursors(path, options, streams)
    for one in _CONVERSIONS:
        if one.before != one.after:
            _delete(path, options, one)


def _streams(path: str, options: Options) -> list[str]:
    """The ids of all streams that wrote batches, or that the checkpoint names."""
    text = SmallFiles(path, options).read(_IDENTITY)
    identity = json.loads(text) if text else {}
    named = {identity.get("stream_id"), identity.get("replaces")}
    batches = opened(f"{path}/batches", options)
    if batches is not None:
        import polars as pl

        rows = pl.scan_delta(batches, use_pyarrow=False).select("stream_id").unique().collect()
        named |= set(rows["stream_id"])
    return sorted(name for name in named if name is not None)


def _carried(name: str, streams: list[str]) -> Callable[[DeltaTable], Carried]:
    """What the commit that switches a table records, given the table as it was."""

    def carried(table: DeltaTable) -> Carried:
        if name == "candidates":
            return Carried(_renamed(table, {f"candidates:{one}": f"person_labels:{one}" for one in streams}))
        if name == "windows":
            return Carried(_renamed(table, {"upkeep:coarsen": "maintenance:coarsen"}))
        return Carried(metadata=_last_batch(table, streams) if name == "facts" else {})

    return carried


def _renamed(table: DeltaTable, names: dict[str, str]) -> dict[str, int]:
    """The versions of applications, under their new names."""
    found = {after: table.transaction_version(before) for before, after in names.items()}
    return {name: version for name, version in found.items() if version is not None}


def _last_batch(facts: DeltaTable, streams: list[str]) -> dict[str, str]:
    """What the last commit of a batch's facts says of the batch, in the words of version 3."""
    last = {f"facts:{one}@{facts.transaction_version(f'facts:{one}')}" for one in streams}
    for entry in facts.history(_COMMITS):
        if entry.get("app") in last:
            found = {name: str(entry[name]) for name in _SAYS if name in entry}
            return found | ({"rule_set_hash": entry["pack_hash"]} if "pack_hash" in entry else {})
    return {}


def _move_cursors(path: str, options: Options, streams: list[str]) -> None:
    """The cursors of messages go on under their new names."""
    outbox = opened(f"{path}/outbox", options)
    if outbox is None or outbox.transaction_version(APP_ID) == VERSION:
        return
    names = {f"wishes:{one}": f"messages:{one}" for one in [*streams, "evidence"]}
    moved = [Transaction(name, version) for name, version in _renamed(outbox, names).items()]
    properties = CommitProperties(
        max_commit_retries=0, app_transactions=[*moved, Transaction(APP_ID, VERSION)]
    )
    outbox.create_write_transaction([], "append", outbox.schema(), commit_properties=properties)


def _delete(path: str, options: Options, one: Conversion) -> None:
    """Delete a table whose rows are under another name now."""
    after = opened(f"{path}/{one.after}", options)
    if after is not None and after.transaction_version(APP_ID) == VERSION:
        SmallFiles(f"{path}/{one.before}", options).clear()
