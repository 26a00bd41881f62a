"""The contract of a source: what a kind of source gives, and what it is given.

A source ends as rows of one Delta table in the shape of ``store.schemas.TRACES``, which the query reads.
Either the table is there already (:class:`QueryTable`), or the source lands its traces into the store's own
table ``traces`` (:class:`Landing`).  A kind is a class below :class:`Source` and one line in
:data:`streams.sources.SOURCES`; the rest of the program asks this contract and knows no source by its name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from streams.delta_log import Arrivals, check_versions
from streams.sources.offer import Draft, InitOffer, InitOption, Survey

if TYPE_CHECKING:
    from store import Store
    from store.final_through import Watermark


@dataclass(frozen=True)
class SourcePlace:
    """Where the config file is, which relative paths begin at, and where the store is."""

    base_dir: str
    store_path: str

    def resolved(self, path: str) -> str:
        """A folder that the config names, as an absolute path; a URI as it is."""
        return path if "://" in path else str((Path(self.base_dir) / path).resolve())


@dataclass(frozen=True)
class QueryTable(ABC):
    """The Delta table that the query reads: its URI, and its columns by our names where they differ.

    It goes to the process that runs the batches, so it holds plain values only.
    """

    uri: str
    columns: tuple[tuple[str, str], ...] = ()

    @property
    def label(self) -> str:
        """How messages name it."""
        return self.uri

    def check(self, checkpoint: str, counted_through_us: int | None = None) -> None:
        """See what can be seen without Spark; ``counted_through_us`` is up to when versions were counted.

        Raises:
            SourceError: it is not the table that the checkpoint has read, or versions of it are gone.
        """
        check_versions(self.uri, self.label, checkpoint, counted_through_us)

    def reader_options(self, checkpoint: str) -> dict[str, str]:
        """How Spark's stream reads it: what a rewrite brings again is read again."""
        return {"ignoreChanges": "true"}

    def as_read(self, schema: str, before: str | None) -> QueryTable:
        """This table with the columns of the part that a start of the stream reads, given the part's schema
        as JSON, and that of the start ``before`` it in this process.

        Raises:
            SourceError: columns of that part are missing or of the wrong type.
        """
        return self

    @abstractmethod
    def arrivals(self, checkpoint: str, batch_id: int, files: list[str]) -> Arrivals:
        """When the files of a batch came, for rows that have no ``landed_us``; and how many rows were
        deleted.
        """

    @abstractmethod
    def needed_version(self, checkpoint: str) -> int | None:
        """The oldest version of the store's table ``traces`` whose files and log must stay; None: all
        must.
        """


class Landing(ABC):
    """Appends finished traces to the store's table ``traces``, and to ``landing`` how far it has come.

    It is the one writer of both tables.  Guarantee: at least once; a repeat after a crash is recognised later
    by its content.  One thread at a time; no Spark.
    """

    @property
    @abstractmethod
    def settle_us(self) -> int:
        """How long after its end a trace is left alone before it is landed."""

    @abstractmethod
    def step(self, now_us: int) -> object:
        """One pass of a run that goes on: whatever has ended by ``now_us - settle_us``; it may leave a rest.

        Raises:
            SourceError: the source failed; what had landed stays, and the next pass goes on from there.
            Stopped: the run is to end.
        """

    @abstractmethod
    def land_through(self, t_us: int) -> object:
        """Everything that ended up to ``t_us``; the caller has waited for ``settle_us``.

        Raises:
            PartlyLanded: some parts failed; what the others had has landed.
            SourceError, Stopped: as :meth:`step`.
        """

    def progress(self) -> tuple[int, int | None]:
        """How many traces this pass has landed, and how many it has to land as far as that is known.

        For people alone, and from any thread.
        """
        return 0, None

    def missing(self) -> Mapping[str, str]:
        """The parts of the source, as the config names them, that cannot be read, and why; the others are
        landed all the same. Another thread may ask.
        """
        return {}

    @abstractmethod
    def watermarks(self) -> Sequence[Watermark]:
        """How far it is complete by now, one for each part of the source (such as an experiment).

        None while something before the parts' watermarks is still to be landed.  Each also stands in the
        table ``landing`` within a minute, in a row of kind ``reconcile``, for commands that know no running
        landing. Another thread may ask.
        """


@dataclass(frozen=True)
class Probe:
    """What ``doctor`` shows of a source that can be read; ``details`` is plain JSON data, ``problems`` are
    lines about parts of it that cannot.
    """

    found: str
    details: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class LeftOut:
    """Traces that a source has and a run does not take: how many (None: not known), and before when they
    began.
    """

    traces: int | None
    before_us: int


@dataclass(frozen=True)
class LeftOutCount:
    """How to count what is left out, which may take a while, and whether ``dedupe_horizon`` says so or the
    source's own key ``start``.

    ``ask`` may be called in another thread. It raises ``SourceError`` where the source does not answer.
    """

    ask: Callable[[], LeftOut]
    by_horizon: bool


@dataclass(frozen=True)
class Sighting:
    """A trace that a source has: a row in the columns of ``store.schemas.TRACES``, and where it stands.

    ``state``: ``before_start`` or ``not_watched``, where no run of this config reads it, with ``why``; else
    ``not_read``: a run will, or has done so.
    """

    row: Mapping[str, Any]
    state: Literal["before_start", "not_watched", "not_read"] = "not_read"
    why: str = ""


class Source(BaseModel):
    """One kind of source: its keys in the config, and all that the program asks of it.

    A subclass has a ``kind: Literal["…"]`` and a description for every key. Its docstring says what is read
    and with which delivery guarantee.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    offer: ClassVar[InitOffer]

    mlflow_ids: ClassVar[bool] = False
    """Whether ids of traces and experiments are those of an MLflow server."""

    kind: str

    def check(self, place: SourcePlace) -> None:
        """See what can be seen before Spark starts, besides :meth:`QueryTable.check`.

        Raises:
            SourceError: it cannot be read as it is; the message says what mends it.
        """

    @abstractmethod
    def query_table(self, place: SourcePlace) -> QueryTable:
        """The table that the query reads; it also has the content of traces."""

    def landing(self, store: Store, place: SourcePlace, stopping: Callable[[], bool]) -> Landing | None:
        """What brings traces into the store; None where :meth:`query_table` has them already.

        Once ``stopping()`` is true, a pass ends with ``Stopped``.
        """
        return None

    def look_up(self, store: Store, text: str) -> Sequence[Sighting]:
        """What the source itself has of the trace of that id, or of those whose ids begin so, also where it
        was never read; nothing where :meth:`query_table` holds all that there is.

        Raises:
            SourceError: it cannot be asked.
        """
        return ()

    def left_out(self, store: Store, place: SourcePlace, now_us: int, horizon_us: int) -> LeftOutCount | None:
        """How to count what the source has and a first start at ``now_us`` does not take; None at a later
        start, or where nothing is left out.

        What began longer than ``horizon_us`` ago is never counted. Looks at the store alone.
        """
        return None

    @property
    def watched(self) -> Sequence[str] | None:
        """The experiments that the config names, by name or id; None: whatever the table has."""
        return None

    @property
    def relists_us(self) -> int:
        """How far back a landing looks at the source again: what landed since must stay in the store."""
        return 0

    @abstractmethod
    def probe(self, place: SourcePlace, timeout_s: float) -> Probe:
        """Ask the source whether it can be read, without waiting longer than ``timeout_s`` for one answer,
        where the client takes that from its caller (MLflow's takes it from the process).

        Raises:
            SourceError: it cannot; ``brief`` and ``hint`` are what ``doctor`` shows.
        """


__all__ = [
    "Draft",
    "InitOffer",
    "InitOption",
    "Landing",
    "Probe",
    "QueryTable",
    "Sighting",
    "Source",
    "SourcePlace",
    "Survey",
]
