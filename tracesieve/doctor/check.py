"""What one check of ``tracesieve doctor`` found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from tracesieve.patience import of_command

TIMEOUT_S = float(of_command("doctor").timeout_s)
Status = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Check:
    """What was found of one thing, and what to do about it; ``details`` is plain JSON data."""

    name: str
    status: Status
    found: str
    hint: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The check as a JSON object."""
        return asdict(self)


def worst(checks: Iterable[Check]) -> Status:
    """The most serious status among the checks."""
    found = {check.status for check in checks}
    return "fail" if "fail" in found else "warn" if "warn" in found else "ok"


def one_line(error: object) -> str:
    """The first line of an error's message, shortened."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else "")[:300]
