"""What stands on an MLflow server of ours, read from its sqlite database; imports nothing of the program."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any


def on_server(database: Path) -> dict[str, Any]:
    """The tags and records that the program, or a person, has put there."""
    with sqlite3.connect(database) as base:
        tags = base.execute(
            "SELECT request_id, key, value FROM trace_tags "
            "WHERE key LIKE 'tracesieve.%' OR key = 'eval_candidate'"
        ).fetchall()
        records = base.execute(
            "SELECT d.name, r.inputs, r.tags FROM evaluation_dataset_records r "
            "JOIN evaluation_datasets d USING (dataset_id)"
        ).fetchall()
    return {"tags": sorted(map(list, tags)), "records": sorted(map(list, records))}
