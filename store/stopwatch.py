"""How long the stages of a piece of work take, for the log at level debug; nothing is decided by it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Stopwatch:
    """Books the time since the last call on a stage; as text ``fetch 120 ms, append 8 ms``."""

    seconds: dict[str, float] = field(default_factory=dict)
    _since: float = field(default_factory=time.perf_counter)

    def done(self, name: str) -> None:
        """Book the time since the last call on ``name``."""
        now = time.perf_counter()
        self.seconds[name] = round(self.seconds.get(name, 0.0) + now - self._since, 6)
        self._since = now

    @property
    def total_s(self) -> float:
        """The time of all stages together."""
        return sum(self.seconds.values())

    @property
    def extra(self) -> dict[str, Any]:
        """The stages as fields of a line of the log: in JSON ``stages_ms``."""
        in_ms = {name: round(seconds * 1000, 1) for name, seconds in self.seconds.items()}
        return {"stages": self.seconds, "fields": {"stages_ms": in_ms}}

    def __str__(self) -> str:
        return ", ".join(f"{name} {seconds * 1000:.0f} ms" for name, seconds in self.seconds.items())
