"""What maintenance must leave alone: how long each table is kept, and what others still need of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rules.units import DAY_US
from store.maintenance.retention import DEFAULTS_US
from store.schemas.spec import IsWithdrawal


@dataclass(frozen=True)
class MaintenanceNeeds:
    """What a run needs of its store; the functions are asked anew each time.

    Attributes:
        keep_us: retention by table, where it is not the default.
        least_us: what is kept whatever the retention, by table: ``dedupe_horizon``, …
        revise_us: how long verdicts may change.
        longest_window_us: the longest window of the rules in force.
        source_next: the oldest version of ``traces`` that the stream may ask for.
        messages: whether a follower makes messages from facts.
        is_withdrawal: whether nothing is left to take back of a target once its sink has delivered this
            payload.
    """

    keep_us: Mapping[str, int] = field(default_factory=dict)
    least_us: Mapping[str, int] = field(default_factory=dict)
    revise_us: int = 2 * DAY_US
    longest_window_us: Callable[[], int] = lambda: 0
    source_next: Callable[[], int | None] = lambda: None
    messages: bool = False
    is_withdrawal: IsWithdrawal = lambda _sink, _payload: False

    def kept_us(self, name: str) -> int | None:
        """How long rows of that table are kept, µs; None: for ever."""
        if name not in DEFAULTS_US:
            return None
        kept = self.keep_us.get(name, DEFAULTS_US[name])
        if name in ("windows", "verdicts"):
            kept = max(kept, self.revise_us + self.longest_window_us() + DAY_US)
        if name == "evidence":  # a trace whose evidence outlived its fact would lose its tags
            kept = min(kept, (self.kept_us("facts") or 0) - self.longest_window_us() - 2 * DAY_US)
        # A fact that outlived its label, or its pick, would leave their dataset.
        if name in ("person_labels", "dataset_picks"):
            kept = max(kept, (self.kept_us("facts") or 0) + 2 * DAY_US)
        least = self.least_us.get(name)
        return kept if least is None else max(kept, least + 2 * DAY_US)

    def kept_days(self, name: str) -> float | None:
        """The same in days."""
        kept = self.kept_us(name)
        return None if kept is None else kept / DAY_US
