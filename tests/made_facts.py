"""Facts made by hand for tests of what comes after them; times begin at ``T0``, a whole minute."""

from __future__ import annotations

from typing import Any

MINUTE = 60_000_000
T0 = 1_800_000_000 * 1_000_000 // MINUTE * MINUTE


def fact(trace_id: str, minute: int, *, error: bool = False, weight: int = 1, **changes: Any) -> dict[str, Any]:
    end = T0 + minute * MINUTE + 1
    row = {
        "weight": weight, "trace_id": trace_id, "experiment_id": "1", "experiment": "support", "group_by": "experiment",
        "group": ["support"], "start_us": end - 1000, "end_us": end, "state": "ERROR" if error else "OK", "error": error,
        "duration_us": 1000, "content_hash": 1, "change_us": end, "arrived_us": end, "late": False, "hits": [],
    }  # fmt: skip
    return {**row, **changes}
