"""Of the streamed table ``traces`` no file and no log entry goes that the stream may still read."""

import os
import time
from pathlib import Path

from rules.units import HOUR_US as HOUR
from store import Store, open_store
from store.maintenance.needs import MaintenanceNeeds
from store.maintenance.schedule import Maintenance
from streams.checkpoint import needed_version, read_through

NOW = time.time_ns() // 1000


def landed(folder: Path) -> Store:
    made = open_store(str(folder))
    made.table("traces").create()
    for n in range(6):
        made.table("traces").append([{"trace_id": f"t{n}", "landed_us": NOW + n}])
    return made


def age(folder: Path) -> None:
    for file in folder.rglob("*"):
        if file.is_file():
            os.utime(file, (time.time() - 7200,) * 2)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_sem_19_files_and_log_of_traces_wait_for_the_stream(tmp_path, monkeypatch):
    monkeypatch.setattr("store.maintenance.compact.SMALL_FILES", 5)
    monkeypatch.setattr("store.maintenance.clean.UNUSED_HOURS", 0)
    made = landed(tmp_path)
    assert "traces: 6 files became 1" in Maintenance(made, MaintenanceNeeds()).maintain("traces", NOW)
    folder, version = tmp_path / "traces", made.table("traces").version()
    age(folder)
    there = names(folder)
    for following in (None, 0, 3, version):  # nothing read yet; some; all but what the last commit says
        assert (
            Maintenance(made, MaintenanceNeeds(source_next=lambda n=following: n)).maintain(
                "traces", NOW + HOUR
            )
            == []
        )
        assert names(folder) == there
    assert Maintenance(made, MaintenanceNeeds(source_next=lambda: version + 1)).maintain(
        "traces", NOW + HOUR
    ) == ["traces: 6 unused files deleted"]
    assert len(list(folder.glob("*.parquet"))) == 1
    assert not (folder / "_delta_log" / f"{0:020d}.json").exists()
    assert sorted(made.table("traces").read()["trace_id"]) == [f"t{n}" for n in range(6)]
    made.table("traces").append([{"trace_id": "t6", "landed_us": NOW}])
    assert open_store(str(tmp_path)).table("traces").read().height == 7


def test_how_far_the_stream_has_read_is_told_by_its_last_committed_batch(tmp_path):
    for folder in ("offsets", "commits"):
        (tmp_path / folder).mkdir()
    assert read_through(str(tmp_path)) is None
    offset = (
        '{"sourceVersion":1,"reservoirId":"r","reservoirVersion":%d,"index":-1,"isStartingVersion":false}'
    )
    for batch, version in ((9, 7), (10, 12)):
        (tmp_path / "offsets" / str(batch)).write_text(f'v1\n{{"batchWatermarkMs":0}}\n{offset % version}')
    assert read_through(str(tmp_path)) is None  # planned, not committed
    (tmp_path / "commits" / "9").write_text("v1\n{}")
    (tmp_path / "commits" / ".9.crc").write_text("")
    assert read_through(str(tmp_path)) == 7
    assert needed_version(str(tmp_path)) is None  # what came before that batch is not known
    (tmp_path / "commits" / "10").write_text("v1\n{}")
    assert read_through(str(tmp_path)) == 12
    assert read_through(tmp_path.as_uri()) == 12
    assert needed_version(str(tmp_path)) == 7  # Spark makes the last batch's frame again when it starts
