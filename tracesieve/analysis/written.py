"""What was written because of a trace: its tags, the datasets that it is in and why, and whether that was
delivered.
"""

from __future__ import annotations

import json
from typing import Any

import polars as pl

from sinks.base import MessageKind
from sinks.mlflow.records import PERSON
from sinks.registry import class_of
from store import Store
from store.schemas import SETTLED
from tracesieve.json_output import iso

_STATES = {"delivered": "delivered", "superseded": "delivered", "dead": "refused", "dropped": "dropped"}


def written(store: Store, trace_id: str) -> dict[str, Any]:
    """``{tags, datasets}`` as plain JSON data; ``tags`` is null where no sink was ever asked to tag it.

    ``tags`` has ``values`` by name and, as each of ``datasets.deliveries``, ``sink``, ``state`` (delivered,
    waiting, refused, dropped), ``detail`` and ``tried``. ``datasets.in`` has for each record that the trace
    stands behind ``dataset``, ``record``, ``rules`` (``id@hash``), ``person`` and ``reason``;
    ``datasets.wanted`` are the categories that it should be in.
    """
    tags, members = None, []
    wanted: list[str] = []
    for message in _newest(store, trace_id):
        sink, payload = class_of(message["sink"]), json.loads(message["payload"] or "{}")
        if sink is not None and sink.consumes is MessageKind.TAGS:
            held = () if sink.is_withdrawal(payload) else sink.holdings(store, {trace_id: payload})
            tags = {"values": {one.name: one.value for one in held}, **_delivery(message)}
        elif sink is not None and sink.consumes is MessageKind.MEMBERSHIP:
            wanted = sorted(payload.get("categories") or {})
            members.append(_delivery(message))
    return {
        "tags": tags,
        "datasets": {"in": _records(store, trace_id), "wanted": wanted, "deliveries": members},
    }


def _newest(store: Store, trace_id: str) -> list[dict[str, Any]]:
    """The newest message about a trace of each sink, with its last outcome."""
    columns = ["key", "seq", "sink", "payload", "created_us"]
    messages = store.table("outbox").read(columns, pl.col("target") == trace_id)
    newest = messages.sort("seq").unique("sink", keep="last", maintain_order=True)
    acks = store.table("deliveries").read(
        ["key", "outcome", "detail", "at_us"], pl.col("key").is_in(newest["key"].implode())
    )
    last = acks.with_row_index("_row").sort(pl.col("outcome").is_in(SETTLED), "at_us", "_row")
    last = last.unique("key", keep="last", maintain_order=True).drop("_row")
    return newest.join(last, on="key", how="left").sort("sink").to_dicts()


def _delivery(message: dict[str, Any]) -> dict[str, Any]:
    return {
        "sink": message["sink"],
        "state": _STATES.get(message["outcome"], "waiting"),
        "detail": message["detail"] or "",
        "tried": iso(message["at_us"]),
    }


def _records(store: Store, trace_id: str) -> list[dict[str, Any]]:
    """The records that a trace stands behind, and why."""
    rows = store.table("records").read(where=pl.col("trace_id") == trace_id)
    key = ["dataset", "dataset_id", "record"]
    net = rows.group_by(key).agg(pl.col("weight").cast(pl.Int64).sum()).filter(pl.col("weight") > 0)
    last = rows.filter(pl.col("weight") > 0).sort("at_us", maintain_order=True)
    standing = last.unique(key, keep="last", maintain_order=True).join(net, on=key, how="semi").sort(key)
    return [_record(row) for row in standing.to_dicts()]


def _record(row: dict[str, Any]) -> dict[str, Any]:
    hits = row["rules"] or []
    return {
        "dataset": row["dataset"],
        "record": row["record"],
        "rules": [f"{hit['rule']}@{hit['hash']}" for hit in hits if hit["rule"] != PERSON],
        "person": any(hit["rule"] == PERSON for hit in hits),
        "reason": row["reason"] or "",
    }
