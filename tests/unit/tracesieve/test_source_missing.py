"""A part of the source that cannot be read: a warning of ``doctor``, and a series of a run's metrics."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from prometheus_client import generate_latest

from store.schemas import TRACES
from streams.sources.base import Landing, Probe
from streams.sources.delta_traces.source import DeltaTracesSource
from tracesieve.config.settings import Settings
from tracesieve.doctor import examine
from tracesieve.run.parts import open_run

NOW_US = 1_800_000_000_000_000


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    DeltaTable.create(str(tmp_path / "traces"), TRACES)
    source = DeltaTracesSource(table=str(tmp_path / "traces"))
    return Settings(source=source, store=str(tmp_path / "store"), metrics=None, base_dir=str(tmp_path))


def source_check(settings: Settings) -> Any:
    return next(one for one in examine(settings, time.time_ns() // 1000) if one.name == "source")


def test_doctor_warns_of_a_part_that_is_missing_and_fails_for_a_table_that_cannot_be_read(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert source_check(settings).status == "ok"
    with monkeypatch.context() as patched:
        partly = Probe("a server: one (1)", {"missing": {"two": "deleted"}}, ("two was deleted",))
        patched.setattr(DeltaTracesSource, "probe", lambda *_: partly)
        check = source_check(settings)
        assert (check.status, check.found) == ("warn", "a server: one (1); two was deleted")
        assert check.details == {"missing": {"two": "deleted"}}
    protocol = {
        "minReaderVersion": 3,
        "minWriterVersion": 7,
        "readerFeatures": ["new"],
        "writerFeatures": ["new"],
    }
    log = tmp_path / "traces" / "_delta_log" / f"{1:020}.json"
    log.write_text(json.dumps({"protocol": protocol}))
    check = source_check(settings)
    assert check.status == "fail"
    assert "has the table feature new, which tracesieve cannot read" in check.found


class Partly(Landing):
    """One of two parts is gone, later it is back."""

    settle_us = 0

    def __init__(self) -> None:
        self.gone = {"two": "deleted"}

    def step(self, now_us: int) -> None: ...

    def land_through(self, t_us: int) -> None: ...

    def watermarks(self) -> list[Any]:
        return []

    def missing(self) -> dict[str, str]:
        return self.gone


def test_a_run_has_a_series_for_each_part_that_is_missing_as_long_as_it_is(settings: Settings) -> None:
    with ExitStack() as stack:
        run = open_run(settings, stack, dry_run=False, rebuild=False, now_us=NOW_US)
        landing = run.landing = Partly()
        run.follow(NOW_US)
        assert 'tracesieve_source_missing{part="two"} 1.0' in generate_latest(run.metrics.registry()).decode()
        landing.gone = {}
        run.follow(NOW_US + 1)
        assert "tracesieve_source_missing{" not in generate_latest(run.metrics.registry()).decode()
