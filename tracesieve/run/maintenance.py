"""What a config says of maintenance: how long tables are kept, and what must stay whatever it says."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sinks.registry import is_withdrawal
from store.maintenance.needs import MaintenanceNeeds
from streams.checkpoint import checkpoint_of

if TYPE_CHECKING:
    from rules.rule_set import RuleSet
    from tracesieve.config.settings import Settings


def maintenance_needs(
    settings: Settings, rule_set: Callable[[], RuleSet | None] = lambda: None, *, messages: bool = False
) -> MaintenanceNeeds:
    """What maintenance must leave alone in the store of this config.

    ``rule_set`` gives the rules in force; ``messages`` says whether a follower makes messages from facts.
    """

    table = settings.source.query_table(settings.place)

    def longest_us() -> int:
        found = rule_set()
        return max((rule.lookback_us for rule in found.alert_rules), default=0) if found is not None else 0

    return MaintenanceNeeds(
        keep_us=settings.retention,
        least_us={
            "facts": settings.dedupe_horizon,
            "traces": settings.source.relists_us,
        },
        revise_us=settings.revise_for,
        longest_window_us=longest_us,
        source_next=lambda: table.needed_version(checkpoint_of(settings.store_path)),
        messages=messages,
        is_withdrawal=is_withdrawal,
    )
