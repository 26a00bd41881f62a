"""``tracesieve datasets build``: by itself, or by the run that goes on."""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from sinks import registry
from sinks.base import MessageKind
from sinks.drain import drain
from sinks.mlflow.datasets import MlflowDatasets
from store import Store, open_store
from store.dataset_versions import BuildRequests, DatasetVersions, StoredVersion
from store.lease import holder
from tracesieve.config.trace_table import trace_table
from tracesieve.datasets.comparison import compared
from tracesieve.datasets.listing import flat, heading
from tracesieve.datasets.renewal import renew
from tracesieve.datasets.sets import DatasetSets
from tracesieve.datasets.versions import full_name
from tracesieve.errors import OutsideError, TracesieveError
from tracesieve.run.alone import run_alone
from tracesieve.run.parts import wall_us
from tracesieve.run.versions import membership_sinks, version_taker
from tracesieve.terminal import number

if TYPE_CHECKING:
    from tracesieve.config.settings import Settings

_LOOK_S = 0.5
_MOST_S, _IDLE_S = 600.0, 60.0  # for all records; for any of them
Show = Callable[[str], object]


def build(settings: Settings, names: Collection[str], show: Show) -> dict[str, Any]:
    """Write the records that follow from what is counted, take a version of each of these datasets (none: of
    all); the document of ``datasets build --json``.

    Killed anywhere and repeated, it comes to the same versions.

    Raises:
        what :func:`tracesieve.run.parts.open_run` raises.
        SinkError: the server failed.
        OutsideError: a signal came, or records wait.
        TracesieveError: there is no dataset of such a name, or the config wants none.
    """
    if MlflowDatasets.name not in registry.names(settings.sinks, MessageKind.MEMBERSHIP):
        raise TracesieveError(
            f"{settings.config_file or 'the config'} wants no datasets: write `mlflow: {{tracking_uri: …}}`, "
            "and take `datasets: false` away"
        )
    store = open_store(settings.store_path, create=False)
    before = max((one.number for one in DatasetVersions(store).all()), default=-1)
    while not _by_itself(settings, names) and not _beside_a_run(settings, store, names, show):
        show("the run has ended: going on without it")
    return _document(store, names, before)


def _by_itself(settings: Settings, names: Collection[str]) -> bool:
    """Do it in this process; False where a run goes on."""
    with run_alone(settings) as run:
        if run is None:
            return False
        sinks = membership_sinks(run)
        sets, contents = DatasetSets.of(settings), trace_table(settings)
        renew(run.store, run.outbox, sets, contents, sinks, wall_us())
        writing = [one for one in run.deliveries if one.sink.name in sinks]
        waiting = drain(writing, run.outbox, wall_us, _MOST_S, run.stop.is_set, _IDLE_S)
        if run.stop.is_set():
            raise OutsideError("stopped before the end: repeat the command")
        if waiting:
            why = "; ".join(one.reason for one in writing if one.reason) or "there is not enough time"
            left = number(waiting, "delivery", "deliveries")
            raise OutsideError(f"{left} of records still waiting ({why}): repeat the command")
        taker = version_taker(run)
        if taker is not None:
            taker.take(names, wall_us())
    return True


def _beside_a_run(settings: Settings, store: Store, names: Collection[str], show: Show) -> bool:
    """Ask the run, and wait until it is done; False where the run ends before that."""
    requests = BuildRequests(store)
    asked = requests.put(names, wall_us())
    show("the run that goes on does it; Ctrl-C ends only the waiting")
    until_s = time.monotonic() + _MOST_S
    while not requests.is_done(asked):
        if holder(settings.store_path) is None:
            return False
        if time.monotonic() > until_s:
            raise OutsideError("the run that goes on has not done it yet, and will: see its log")
        time.sleep(_LOOK_S)
    return True


def _document(store: Store, names: Collection[str], before: int) -> dict[str, Any]:
    """The last version of each dataset, and what is new in those that were taken after the version
    ``before``.
    """
    every = DatasetVersions(store).all()
    latest = DatasetVersions(store).latest()
    named = {one.place.key: {one.place.dataset, full_name(one.place)} for one in latest.values()}
    if unknown := [name for name in names if not any(name in both for both in named.values())]:
        raise TracesieveError(_unknown(unknown, sorted({one.place.dataset for one in latest.values()})))
    rows = []
    for key, one in sorted(latest.items()):
        if names and not named[key] & set(names):
            continue
        older = [each for each in every if each.place.key == key and each.number <= before]
        rows.append({**heading(one), **flat(one.note), **_news(store, older[-1] if older else None, one)})
    return {"datasets": rows}


def _news(store: Store, old: StoredVersion | None, new: StoredVersion) -> dict[str, Any]:
    if old is None:
        return {"new": True, "added": new.records, "removed": 0, "changed": 0}
    if old.number == new.number:
        return {"new": False, "added": 0, "removed": 0, "changed": 0}
    found = compared(store, old, new)
    return {"new": True, **{name: found[name] for name in ("added", "removed", "changed")}}


def _unknown(names: Collection[str], known: list[str]) -> str:
    lines = []
    for name in names:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known) or 'none yet'}"
        lines.append(f"no record was ever written to a dataset {name!r}: {hint}")
    return "\n".join(lines)
