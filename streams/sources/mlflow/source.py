"""Finished traces of an MLflow tracking server as a source, landed at least once into the store.

Auth comes from MLflow's own environment variables (``MLFLOW_TRACKING_USERNAME``, ``MLFLOW_TRACKING_TOKEN``,
…), never from the config.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator

from rules.address_key import TrackingUri
from rules.duration_key import DurationUs
from rules.units import DAY_US, MINUTE_US, SECOND_US, parse_duration_us
from streams.sources.base import (
    InitOffer,
    Landing,
    LeftOut,
    LeftOutCount,
    Probe,
    Sighting,
    Source,
    SourcePlace,
)
from streams.sources.landed import LandedTable
from streams.sources.mlflow.configured import Configured, configured, landed_as
from streams.sources.mlflow.survey import MlflowOffer

if TYPE_CHECKING:
    from store import Store
    from streams.sources.mlflow.client import MlflowReader


class MlflowSource(Source):
    """Finished traces of some experiments of an MLflow server; durations are given as ``10m``, kept as µs."""

    offer: ClassVar[InitOffer] = MlflowOffer()
    mlflow_ids: ClassVar[bool] = True

    kind: Literal["mlflow"] = Field(
        default="mlflow", description="finished traces of an MLflow tracking server"
    )
    tracking_uri: TrackingUri = Field(
        description="the server; a login comes from MLflow's own environment variables"
    )
    experiments: tuple[str, ...] = Field(min_length=1, description="which experiments, by name or id")
    start: str = Field(default="-24h", description="from when on: now, earliest, or a time back such as -24h")
    overlap: DurationUs = Field(
        default=10 * MINUTE_US, description="how far back the last slice of time is listed again"
    )
    reconcile: DurationUs = Field(
        default=15 * MINUTE_US, description="how often the server's own counts are compared"
    )
    amend_for: DurationUs = Field(
        default=DAY_US, description="how long later feedback and tags are looked for"
    )
    settle: DurationUs = Field(
        default=2 * SECOND_US, description="how long after its end a trace is left alone before it is landed"
    )

    @field_validator("experiments", mode="before")
    @classmethod
    def _texts(cls, value: object) -> object:
        """YAML reads an experiment id as a number."""
        return (
            [str(one) if isinstance(one, int) else one for one in value]
            if isinstance(value, list | tuple)
            else value
        )

    @field_validator("start")
    @classmethod
    def _start(cls, value: str) -> str:
        if value not in ("now", "earliest"):
            if not value.startswith("-"):
                raise ValueError(f"{value!r}: write now, earliest or a time back such as -24h")
            parse_duration_us(value[1:])
        return value

    def start_us(self, now_us: int, earliest_us: int) -> int:
        """The end time after which traces are wanted, µs."""
        if self.start == "now":
            return now_us
        if self.start == "earliest":
            return min(earliest_us, now_us)
        return now_us - parse_duration_us(self.start[1:])

    def check(self, place: SourcePlace) -> None:
        """See whether the server answers and has any of the experiments.

        Raises:
            UnknownExperiment: none is there; lists those there are.
            SourceDown: no server, no access.
        """
        from streams.sources.mlflow.client import MlflowReader

        self.found(MlflowReader(self.tracking_uri), _store_of(place)).check(self.tracking_uri)

    def found(self, reader: MlflowReader, store: Store | None) -> Configured:
        """What the server has of the experiments; ``store`` knows them by the traces that have landed.

        Raises:
            SourceDown: no server, no access.
        """
        known = landed_as(store, self.experiments) if store is not None else {}
        return configured(self.experiments, reader.experiments(), known)

    def query_table(self, place: SourcePlace) -> LandedTable:
        """The store's own table, which the landing fills."""
        return LandedTable.of(place)

    def landing(self, store: Store, place: SourcePlace, stopping: Callable[[], bool]) -> Landing:
        """What brings the server's traces into the store."""
        from streams.sources.mlflow.landing import MlflowLanding

        return MlflowLanding(self, store, stopping=stopping)

    def look_up(self, store: Store, text: str) -> Sequence[Sighting]:
        """The server's own answer, whichever experiment the trace is in.

        Raises:
            SourceDown: no server, no access.
        """
        from streams.sources.mlflow.look_up import look_up

        return look_up(self, store, text)

    def left_out(self, store: Store, place: SourcePlace, now_us: int, horizon_us: int) -> LeftOutCount | None:
        """Of the experiments from which nothing was landed yet."""
        from streams.sources.mlflow.client import MlflowReader
        from streams.sources.mlflow.known import read_cursors
        from streams.sources.mlflow.left_out import traces_before

        start_us = self.start_us(now_us, 0)
        landed = read_cursors(store.table("landing"))

        def ask() -> LeftOut:
            reader = MlflowReader(self.tracking_uri)
            new = [one for one in self.found(reader, store).names if one not in landed]
            return traces_before(reader, new, max(start_us, now_us - horizon_us))

        return LeftOutCount(ask, by_horizon=start_us < now_us - horizon_us)

    @property
    def watched(self) -> Sequence[str]:
        """Those of the config."""
        return self.experiments

    @property
    def relists_us(self) -> int:
        """As far back as later feedback and tags are looked for."""
        return self.amend_for

    def probe(self, place: SourcePlace, timeout_s: float) -> Probe:
        """The experiments that the server has, and which it has not.

        Raises:
            UnknownExperiment, SourceDown: as :meth:`check`.
        """
        from streams.sources.mlflow.client import MlflowReader

        found = self.found(MlflowReader(self.tracking_uri), _store_of(place))
        found.check(self.tracking_uri)
        listed = ", ".join(f"{name} ({key})" for key, name in found.names.items())
        missing = {one.wanted: one.reason for one in found.missing}
        details = {"experiments": dict(found.names), "missing": missing, "renamed": dict(found.renamed)}
        return Probe(f"{self.tracking_uri}: {listed}", details, tuple(found.problems()))


def _store_of(place: SourcePlace) -> Store | None:
    """The store, None where there is none yet, or none that can be read."""
    from store import StoreError, open_store

    try:
        return open_store(place.store_path, create=False)
    except StoreError:
        return None
