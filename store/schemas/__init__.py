"""The columns of every table in the store, as Arrow schemas, one file a family, retention beside each.

Times are integer microseconds since the epoch, UTC (``…_us``); money is integer 1e-9 USD (``…_nusd``), so
that whatever is summed gives the same answer in any order, split or replay.
"""

from __future__ import annotations

from typing import Final

from store.schemas import alerts, apply, datasets, evaluations, facts, outbox, picks, rule_sets, traces
from store.schemas.facts import FACTS
from store.schemas.outbox import FINAL, SETTLED
from store.schemas.spec import TableSpec
from store.schemas.traces import ASSESSMENT, LOCATED, LOCATION, SPAN, SPAN_EVENT, TRACES
from store.schemas.types import HIT

TABLES: Final[dict[str, TableSpec]] = {
    **traces.TABLES,
    **rule_sets.TABLES,
    **facts.TABLES,
    **apply.TABLES,
    **alerts.TABLES,
    **outbox.TABLES,
    **datasets.TABLES,
    **picks.TABLES,
    **evaluations.TABLES,
}

__all__ = [
    "ASSESSMENT",
    "FACTS",
    "FINAL",
    "HIT",
    "LOCATED",
    "LOCATION",
    "SETTLED",
    "SPAN",
    "SPAN_EVENT",
    "TABLES",
    "TRACES",
    "TableSpec",
]
