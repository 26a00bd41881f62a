"""The checks of ``tracesieve doctor``: each looks at one thing, says what it found and how to mend it, and
changes nothing.

A check that itself fails is a finding, never a traceback; no check starts Java or waits longer than
``TIMEOUT_S``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from tracesieve.config.settings import Settings

TIMEOUT_S = 5.0
Status = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Check:
    """One finding; ``details`` is plain JSON data."""

    name: str
    status: Status
    found: str
    hint: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The check as a JSON object."""
        return asdict(self)


def examine(settings: Settings, now_us: int) -> list[Check]:
    """Every check, in the order in which things depend on each other."""
    from tracesieve.doctor import machine, outside, state

    checks: list[tuple[str, Callable[[], Iterable[Check]]]] = [
        ("config", lambda: machine.config(settings)),
        ("python", machine.python),
        ("java", machine.java),
        ("jars", machine.jars),
        ("packages", machine.packages),
        ("rules", lambda: machine.rules(settings)),
        ("disk", lambda: machine.disk(settings.store_path)),
        ("source", lambda: outside.source(settings)),
        *outside.sinks(settings),
        ("metrics", lambda: outside.metrics(settings)),
        ("store", lambda: state.examine(settings, now_us)),
    ]
    found: list[Check] = []
    for name, check in checks:
        try:
            found += check()
        except Exception as error:  # noqa: BLE001 - whatever is broken is what doctor is there to say
            found.append(
                Check(name, "fail", f"could not be looked at: {type(error).__name__}: {one_line(error)}")
            )
    return found


def worst(checks: Iterable[Check]) -> Status:
    """The gravest status among the checks."""
    found = {check.status for check in checks}
    return "fail" if "fail" in found else "warn" if "warn" in found else "ok"


def one_line(error: object) -> str:
    """The first line of an error's message, shortened."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else "")[:300]
