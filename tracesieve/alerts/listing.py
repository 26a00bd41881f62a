"""What fires and what fired, for people: the notifications by episode."""

from __future__ import annotations

from typing import Any

from store import Store
from tracesieve.json_output import with_times

_NAMES = (
    "episode",
    "rule",
    "severity",
    "status",
    "reason",
    "starts_us",
    "value",
    "condition",
    "summary",
    "traces",
    "errors",
    "evidence",
    "paged",
)


def list_alerts(store: Store) -> list[dict[str, Any]]:
    """The last notification of each episode, the newest episode first.

    ``group`` is a mapping of keys to values, ``ends`` None while the alert fires.  ``starts_us`` and
    ``resolved_us`` are ``starts`` and ``ends`` in µs.
    """
    rows = store.table("notifications").read().sort("notified_us", maintain_order=True)
    last = {row["episode"]: row for row in rows.iter_rows(named=True)}
    found = []
    for row in last.values():
        group = dict(zip(row["by"], row["group"], strict=True))
        resolved = row["instant_us"] if row["status"] == "resolved" else None
        alert = {**{name: row[name] for name in _NAMES}, "group": group, "resolved_us": resolved}
        found.append(with_times(alert, starts="starts_us", ends="resolved_us"))
    return sorted(found, key=lambda alert: (-alert["starts_us"], alert["rule"], alert["episode"]))
