"""The application: command line, config, the run, alerts, datasets and analysis over the other packages.

:func:`open` is the Python API, for notebooks and scripts.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tracesieve.notebook.monitor import Monitor


def open(path: str | Path = "tracesieve.yaml") -> Monitor:
    """What a config watches and its store holds, to be read: traces, facts, windows, patterns, datasets,
    ``search``, ``report`` and ``profile`` (:class:`tracesieve.notebook.monitor.Monitor`).

    It asks no server, starts no Java and writes nothing; it works beside a run.

    Raises:
        TracesieveError: the config is wrong; the message says all that is.
        StoreError: there is no store yet, or it cannot be read.
    """
    from tracesieve.notebook.monitor import open_monitor

    return open_monitor(path)
