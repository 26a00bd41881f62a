"""What ``tracesieve init`` does for an MLflow server: its experiments, and how many traces each holds."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streams.errors import InitRefused, SourceError
from streams.sources.offer import Draft, InitOffer, InitOption, Survey

if TYPE_CHECKING:
    from streams.sources.mlflow.client import MlflowReader

COUNTING_S = 20.0  # how long experiments are counted: at a server that hangs, each waits for the timeout
MOST = 200  # experiments whose traces are counted, the ones that were changed last
_EXPERIMENT = "--experiment"


class MlflowOffer(InitOffer):
    """Writes a config for some of the server's experiments, which also get the tags and datasets."""

    noun = "an MLflow server"
    place = InitOption("--tracking-uri", "an MLflow server", variable="MLFLOW_TRACKING_URI")
    more = (InitOption(_EXPERIMENT, "an experiment, by name or id; may be repeated", many=True),)

    def survey(self, place: str, more: Mapping[str, Sequence[str]], config_dir: Path) -> Survey:
        """The experiments; those that were named, else those with traces, are the usual ones.

        Raises:
            SourceDown: no server, no access.
            InitRefused: ``place`` is no address, or an experiment that was named is not there.
        """
        there = survey(_address(place))
        named = more.get(_EXPERIMENT, ())
        usual = _named(there, named, place) if named else _filled(there)
        return Survey(
            title=f"experiments of {place}",
            headings=("name", "id", "traces"),
            rows=[(one.name, one.id, "?" if one.traces is None else f"{one.traces:,}") for one in there],
            numeric=(1, 2),
            draft=lambda picked: _draft(place, there, [there[row] for row in picked]),
            usual=usual,
            asks=not named,
        )


@dataclass(frozen=True)
class Surveyed:
    """One experiment; ``traces`` is None where the server cannot count them, or not in time."""

    id: str
    name: str
    traces: int | None


def _address(place: str) -> str:
    from rules.address_key import tracking_address

    try:
        return tracking_address(place)
    except ValueError as error:
        raise InitRefused(f"{MlflowOffer.place.flag}: {error}, not {place!r}") from error


def survey(tracking_uri: str) -> list[Surveyed]:
    """The experiments of a server, those with most traces first.

    Raises:
        SourceDown: no server, no access.
    """
    from streams.sources.mlflow.client import MlflowReader

    reader = MlflowReader(tracking_uri)
    found = reader.latest_experiments(MOST)
    until_s = time.monotonic() + COUNTING_S
    counted = [
        Surveyed(key, name, _traces(reader, key) if time.monotonic() < until_s else None)
        for key, name in found.items()
    ]
    return sorted(counted, key=lambda one: (-(one.traces or 0), one.name))


def _traces(reader: MlflowReader, experiment: str) -> int | None:
    try:
        return reader.count(experiment)
    except SourceError:
        return None  # an older server, or one that keeps traces elsewhere


def _named(there: Sequence[Surveyed], wanted: Sequence[str], uri: str) -> list[int]:
    rows = {one.id: row for row, one in enumerate(there)} | {one.name: row for row, one in enumerate(there)}
    if missing := [name for name in wanted if name not in rows]:
        known = ", ".join(one.name for one in there[:50])
        raise InitRefused(f"{_EXPERIMENT}: {uri} has no {', '.join(missing)}; there are: {known}")
    return list(dict.fromkeys(rows[name] for name in wanted))


def _filled(there: Sequence[Surveyed]) -> list[int]:
    """The rows of those with traces, or all where none has any."""
    return [row for row, one in enumerate(there) if one.traces] or list(range(len(there)))


def _draft(uri: str, there: Sequence[Surveyed], chosen: Sequence[Surveyed]) -> Draft:
    source = {"kind": "mlflow", "tracking_uri": uri, "experiments": [one.name for one in chosen]}
    found: list[dict[str, Any]] = [
        {"id": one.id, "name": one.name, "traces": one.traces, "chosen": one in chosen} for one in there
    ]
    return Draft({"source": source, "mlflow": {"tracking_uri": uri}}, {"experiments": found})
