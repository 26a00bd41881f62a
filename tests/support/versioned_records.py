"""Records of datasets made by hand, as tracesieve and people leave them, and versions of them in a store."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sinks.mlflow.dataset_server import digest
from sinks.mlflow.provenance import ADDED_BY, OUTPUT, REASON, RULES, SOURCES
from store import Store
from store.dataset_versions import Place, StoredVersion
from tracesieve.datasets.record import Record, normalised
from tracesieve.datasets.versions import take

PLACE = Place("tracesieve_error_case", "1", "support")
T0 = 1_800_000_000_000_000


def record(
    question: Any,
    answer: Any = "a",
    *,
    traces: Sequence[str] = ("tr-1",),
    expectations: dict[str, Any] | None = None,
    rule: str = "tool-errors",
    **tags: str,
) -> Record:
    """A record of ours about that question; ``tags`` are a person's."""
    ours = {
        SOURCES: json.dumps(sorted(traces)),
        RULES: f"{rule}@abc",
        REASON: "a tool failed",
        ADDED_BY: "rule",
        OUTPUT: digest(answer),
    }
    return normalised({"q": question}, answer, expectations, {**ours, **tags, "mlflow.user": "me"})


def person_record(question: str, **expectations: Any) -> Record:
    """A record that a person put there."""
    source = {"source_type": "HUMAN", "source_data": {"user": "ada"}}
    return normalised({"q": question}, None, expectations, {}, source)


def taken(store: Store, *records: Record, place: Place = PLACE, at_us: int = T0, **note: Any) -> str:
    """Take a version; its hash, "" where there is nothing new."""
    found: StoredVersion | None = take(store, place, f"d-{place.experiment_id}", records, at_us, note)
    return "" if found is None else found.version
