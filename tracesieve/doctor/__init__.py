"""The checks of ``tracesieve doctor``: each looks at one thing, reports what it found and what to do about
it, and changes nothing.

A check that fails itself is reported as a check that failed, never as a traceback. No check starts Java or
waits longer than ``TIMEOUT_S``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tracesieve.config.settings import Settings
from tracesieve.doctor import machine, outside, state
from tracesieve.doctor.check import TIMEOUT_S, Check, one_line, worst

__all__ = ["TIMEOUT_S", "Check", "examine", "one_line", "worst"]


def examine(settings: Settings, now_us: int) -> list[Check]:
    """Every check, in the order in which things depend on each other."""
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
        except Exception as error:  # noqa: BLE001 - doctor is there to report whatever is broken
            found.append(
                Check(name, "fail", f"could not be looked at: {type(error).__name__}: {one_line(error)}")
            )
    return found
