"""A complete source in one file: a folder of JSON files, one trace each, landed into the store.

A test adds its line to the registry, an ``Entry`` of ``streams/sources/__init__.py``.  As a program this file
is the command line with that line added.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from rules.duration_key import DurationUs
from rules.units import SECOND_US
from store import Store
from store.final_through import Watermark
from streams.errors import SourceError
from streams.sources import SOURCES, Entry
from streams.sources.base import Draft, InitOffer, InitOption, Landing, Probe, Source, SourcePlace, Survey
from streams.sources.landed import LandedTable, LandingRow, LandingTables

PART = "toy"  # the one part that the source consists of


class ToyOffer(InitOffer):
    noun = "a folder of toy traces"
    place = InitOption("--toy-folder", "a folder of JSON files, one trace each")

    def survey(self, place: str, more: Mapping[str, Sequence[str]], config_dir: Path) -> Survey:
        files = [file.name for file in json_files(Path(place))]
        draft = Draft({"source": {"kind": "toy", "folder": str(Path(place).resolve())}}, {"files": files})
        return Survey(f"files of {place}", ("file",), [(name,) for name in files], lambda _: draft)


class ToySource(Source):
    """``{kind: toy, folder: PATH}``. At least once: a file that is landed again changes nothing."""

    offer: ClassVar[InitOffer] = ToyOffer()

    kind: Literal["toy"] = Field(default="toy", description="a folder of JSON files, one trace each")
    folder: str = Field(description="the folder, relative to this file")
    settle: DurationUs = Field(
        default=SECOND_US, description="how long after its end a trace is left alone before it is landed"
    )

    def check(self, place: SourcePlace) -> None:
        json_files(Path(place.resolved(self.folder)))

    def query_table(self, place: SourcePlace) -> LandedTable:
        return LandedTable.of(place)

    def landing(self, store: Store, place: SourcePlace, stopping: Callable[[], bool]) -> Landing:
        return ToyLanding(Path(place.resolved(self.folder)), self.settle, store)

    def probe(self, place: SourcePlace, timeout_s: float) -> Probe:
        files = json_files(Path(place.resolved(self.folder)))
        return Probe(f"{len(files)} files in {self.folder}", {"files": len(files)})


class ToyLanding(Landing):
    def __init__(self, folder: Path, settle_us: int, store: Store) -> None:
        self._folder, self._settle_us, self._store = folder, settle_us, store
        self._tables = LandingTables(store)
        self._known: set[str] | None = None
        self._watermark: Watermark | None = None

    @property
    def settle_us(self) -> int:
        return self._settle_us

    def step(self, now_us: int) -> object:
        return self.land_through(now_us - self._settle_us)

    def land_through(self, t_us: int) -> object:
        if self._known is None:
            self._known = set(self._store.table("traces").read(["trace_id"])["trace_id"])
        new = [row for row in rows_of(self._folder, t_us) if row["trace_id"] not in self._known]
        if new:
            self._tables.append(new)
            self._known.update(row["trace_id"] for row in new)
        self._watermark = self._tables.watermark(PART, t_us)
        self._tables.record(LandingRow(PART, "reconcile", 0, t_us, t_us, landed=len(new)))
        return len(new)

    def watermarks(self) -> list[Watermark]:
        return [self._watermark] if self._watermark else []


def json_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise SourceError(f"source.folder: {folder} is not a folder")
    return sorted(folder.glob("*.json"))


def rows_of(folder: Path, through_us: int) -> Iterator[dict[str, Any]]:
    """The traces that ended by then, in the columns of ``store.schemas.TRACES``."""
    for file in json_files(folder):
        trace = json.loads(file.read_text())
        start = datetime.fromisoformat(trace["start"])
        end = start + timedelta(milliseconds=trace["duration_ms"])
        if end.timestamp() * 1e6 <= through_us:
            yield {
                "trace_id": file.stem,
                "experiment_name": trace["app"],
                "request_time": start,
                "state": "ERROR" if trace["failed"] else "OK",
                "execution_duration_ms": float(trace["duration_ms"]),
                "request": trace["question"],
                "tags": {},
                "trace_metadata": {},
                "spans": [],
            }


if __name__ == "__main__":
    from tracesieve.cli import main

    SOURCES.append(Entry(f"{__name__}:ToySource", ToyOffer()))
    main()
