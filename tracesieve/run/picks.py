"""``tracesieve search --to-dataset``: what a search found enters a dataset, or leaves it.

The run that goes on does it, or else this process.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from rules.kinds.base import checked_name
from sinks import registry
from sinks.base import MessageKind
from sinks.drain import drain
from sinks.mlflow.config import dataset_prefix
from sinks.mlflow.datasets import MlflowDatasets
from store import Store
from store.lease import holder
from store.outbox import Outbox
from store.picks import Picks
from tracesieve.errors import OutsideError, TracesieveError
from tracesieve.run.alone import run_alone
from tracesieve.run.parts import wall_us
from tracesieve.run.versions import membership_sinks

if TYPE_CHECKING:
    from tracesieve.config.settings import Settings

_LOOK_S = 0.5
_MOST_S, _IDLE_S = 600.0, 60.0  # for all records; for any of them
Show = Callable[[str], object]


@dataclass(frozen=True)
class Target:
    """The dataset that a search is for: the part of its name after the prefix, and the whole name."""

    category: str
    name: str


def target(settings: Settings, name: str) -> Target:
    """The dataset of that name, which may be given with or without the prefix.

    Raises:
        TracesieveError: it is no name of a dataset, or the config wants no datasets.
    """
    prefix = f"{dataset_prefix(settings.sinks)}_"
    category = name.removeprefix(prefix)
    try:
        checked_name(category)
    except ValueError as error:
        raise TracesieveError(f"--to-dataset {name}: {error}") from error
    if MlflowDatasets.name not in registry.names(settings.sinks, MessageKind.MEMBERSHIP):
        raise TracesieveError(
            f"--to-dataset: {settings.config_file or 'the config'} wants no datasets: write "
            "`mlflow: {tracking_uri: …}`, and take `datasets: false` away"
        )
    return Target(category, prefix + category)


def pick(
    settings: Settings, store: Store, traces: pl.DataFrame, into: Target, condition: str | None, show: Show
) -> int:
    """Have these traces (``trace_id``, ``start_us``) enter a dataset because of a condition, or leave it
    (None), and wait for their records; how many messages still wait. Killed anywhere, what was asked is done
    by the next run, once.

    Raises:
        what :func:`tracesieve.run.parts.open_run` raises.
        OutsideError: a signal came before the end.
    """
    if traces.is_empty():
        return 0
    picks = Picks(store)
    asked = picks.put(traces, into.category, condition, wall_us())
    while True:
        waiting = _by_itself(settings)
        if waiting is None:
            waiting = _beside_a_run(settings, store, picks, asked, show)
        if waiting is not None:
            return waiting
        show("the run has ended: going on without it")


def _by_itself(settings: Settings) -> int | None:
    """Do what is asked in this process; None where a run goes on."""
    with run_alone(settings) as run:
        if run is None:
            return None
        sinks = membership_sinks(run)
        writing = [one for one in run.deliveries if one.sink.name in sinks]
        waiting = drain(writing, run.outbox, wall_us, _MOST_S, run.stop.is_set, _IDLE_S)
        if run.stop.is_set():
            raise OutsideError("stopped before the end: the next run goes on with it")
        return waiting


def _beside_a_run(settings: Settings, store: Store, picks: Picks, asked: str, show: Show) -> int | None:
    """Wait until the run has written the records; None where it ends before that."""
    show("the run that goes on does it; Ctrl-C ends only the waiting")
    sinks = registry.names(settings.sinks, MessageKind.MEMBERSHIP)
    outbox, until_s = Outbox(store), time.monotonic() + _MOST_S
    while not picks.is_done(asked) or any(outbox.count(one) for one in sinks):
        if holder(settings.store_path) is None:
            return None
        if time.monotonic() > until_s:
            break
        time.sleep(_LOOK_S)
    return sum(outbox.count(one) for one in sinks)
