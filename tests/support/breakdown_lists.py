"""Breakdowns as lists of dicts, one list a trace, through the form in which facts keep them."""

from __future__ import annotations

from typing import Any

from rules.breakdown import SUMS, Spans, entries, restored, stored


def lists(spans: Spans, rows: int) -> list[list[dict[str, Any]]]:
    kept = stored(entries(spans), rows)
    found = restored(kept["span_keys"], kept["span_sums"])
    of_traces: list[list[dict[str, Any]]] = [[] for _ in range(rows)]
    items = []
    for owner, (kind, name), sums in zip(found.owners, found.pairs, found.sums.T, strict=True):
        numbers = {key: None if value < 0 else int(value) for key, value in zip(SUMS, sums, strict=True)}
        item = {"type": found.types[kind], "name": found.names[name], **numbers}
        items.append(item | {"bucket_index": [], "bucket_count": []})
        of_traces[owner].append(items[-1])
    for entry, index, count in found.buckets.tolist():
        items[entry]["bucket_index"].append(index)
        items[entry]["bucket_count"].append(count)
    return of_traces
