"""Measuring: options of a run, medians, goals, fresh processes for cold figures, and the machine's
description.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Options:
    """How a scenario is run; ``size`` is what the scenario counts (traces, rules, batches), None for the full
    size.
    """

    size: int | None
    repeats: int
    folder: Path

    def sized(self, full: int) -> int:
        """The size to use where ``full`` is the size of the issue's scenario."""
        return full if self.size is None else self.size


class Timer:
    """Seconds between entering and leaving :func:`timed`."""

    seconds = 0.0


@contextmanager
def timed() -> Iterator[Timer]:
    """Measure a block by the monotonic clock."""
    timer, begin = Timer(), time.perf_counter()
    try:
        yield timer
    finally:
        timer.seconds = time.perf_counter() - begin


def say(text: str) -> None:
    """Progress, on stderr: stdout is for the JSON lines."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def median(values: Sequence[float]) -> float:
    """The median, to the millisecond."""
    return round(statistics.median(values), 3)


def goal(value: float | None, at_most: float | None = None, at_least: float | None = None) -> dict[str, Any]:
    """A figure beside what the issue asks for, and whether it is met."""
    met = (
        value is not None
        and (at_most is None or value <= at_most)
        and (at_least is None or value >= at_least)
    )
    asked = {"at_most": at_most} if at_most is not None else {"at_least": at_least}
    return {"value": None if value is None else round(value, 2), **asked, "met": met}


def in_child(scenario: str, *arguments: str) -> dict[str, Any]:
    """What ``child(*arguments)`` of a scenario's module returns, from a process of its own.

    Raises:
        RuntimeError: the process failed; its last lines are in the message.
    """
    command = [sys.executable, "-m", "benchmarks", "--child", scenario, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[2:])} failed: {done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def default_folder() -> Path:
    """Where generated data is kept between runs: the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tracesieve-bench"


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(memory / 2**30, 1),
        "system": platform.system(),
        "python": platform.python_version(),
        "load_at_start": round(os.getloadavg()[0], 1),
    }
