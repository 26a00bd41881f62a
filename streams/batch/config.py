"""What a batch is given, as plain values: it may run in another process than its query's start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from rules.groups import DEFAULT_GROUP_BY
from rules.units import DAY_US
from streams.sources.base import QueryTable
from streams.sources.landed import LandedTable

Clock = Callable[[], int]  # now, µs


@dataclass(frozen=True)
class BatchConfig:
    """All that a batch needs to know; ``table`` is what the query reads."""

    store_path: str
    stream_id: str
    checkpoint: str
    config_hash: str = ""
    group_by: tuple[str, ...] = DEFAULT_GROUP_BY
    include_evaluation: bool = False
    usage_from_spans: bool = False
    dedupe_horizon_us: int = 30 * DAY_US
    table: QueryTable = field(default_factory=LandedTable)
    run_began_us: int | None = None  # None: there is no run, and so no backlog
    # Each start of the query fills these two: the rules that it matches with, and its own id.
    rule_set_hash: str = ""
    query_id: str = ""
