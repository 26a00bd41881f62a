"""The store's version, columns that an older table lacks, and a place that cannot be written."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

import store.upgrades.upgrade
from store import StoreError, StoreUnwritable, StoreVersionError, open_store
from store.files import SmallFiles
from store.schemas import TABLES
from store.upgrades.upgrade import STORE_VERSION, version_of

PACK = {"rule_set_hash": "p", "loaded_us": 1, "group_by": [], "rule_set": "{}"}


def at_version(folder: Path, number: int) -> None:
    open_store(str(folder))
    (folder / "tracesieve-store.json").write_text(json.dumps({"store_version": number}))


def test_an_older_store_is_upgraded_step_by_step_and_a_step_cut_short_is_taken_again(tmp_path, monkeypatch):
    at_version(tmp_path, 0)
    taken, cut = [], [True]

    def from_0(path, _options):
        taken.append(0)

    def from_1(path, _options):
        taken.append(1)
        if cut.pop() if cut else False:
            raise KeyboardInterrupt

    monkeypatch.setattr(store.upgrades.upgrade, "UPGRADES", {0: from_0, 1: from_1, 2: lambda *_: None})
    with pytest.raises(StoreVersionError, match="`tracesieve run` upgrades it"):
        open_store(str(tmp_path), create=False)
    with pytest.raises(KeyboardInterrupt):
        open_store(str(tmp_path))
    assert version_of(str(tmp_path)) == 1
    open_store(str(tmp_path))
    assert taken == [0, 1, 1]
    assert version_of(str(tmp_path)) == STORE_VERSION
    open_store(str(tmp_path), create=False)
    assert taken == [0, 1, 1]


def test_an_older_store_without_a_way_and_a_broken_file_are_refused(tmp_path):
    at_version(tmp_path, 0)
    with pytest.raises(StoreVersionError, match=r"store version 0.*knows no way") as refused:
        open_store(str(tmp_path))
    assert refused.value.exit_code == 3
    (tmp_path / "tracesieve-store.json").write_text("{")
    with pytest.raises(StoreError, match="cannot be read"):
        open_store(str(tmp_path))


def test_the_first_version_kept_the_log_of_traces_for_a_month_and_is_upgraded(tmp_path):
    at_version(tmp_path, 1)
    old = {
        "delta.logRetentionDuration": "interval 30 days",
        "delta.deletedFileRetentionDuration": "interval 30 days",
    }
    write_deltalake(str(tmp_path / "traces"), TABLES["traces"].schema.empty_table(), configuration=old)
    table = open_store(str(tmp_path)).table("traces").delta()
    assert table.metadata().configuration["delta.logRetentionDuration"] == "interval 1 hours"
    assert table.metadata().configuration["delta.enableExpiredLogCleanup"] == "false"
    version = table.version()
    store.upgrades.upgrade.UPGRADES[1](str(tmp_path), None)
    assert open_store(str(tmp_path)).table("traces").version() == version


def test_a_column_that_an_older_table_lacks_reads_as_null_and_the_next_append_adds_it(tmp_path):
    schema = TABLES["rule_sets"].schema
    write_deltalake(
        str(tmp_path / "rule_sets"), pa.Table.from_pylist([PACK], schema=schema).drop_columns(["group_by"])
    )
    table = open_store(str(tmp_path)).table("rule_sets")
    assert table.read().columns == schema.names
    assert table.read(["group_by"])["group_by"].to_list() == [None]
    table.append([{**PACK, "rule_set_hash": "q", "group_by": ["a"]}])
    rows = (
        open_store(str(tmp_path))
        .table("rule_sets")
        .read(["rule_set_hash", "group_by", "rule_set"])
        .sort("rule_set_hash")
    )
    assert rows.rows() == [("p", None, "{}"), ("q", ["a"], "{}")]


def test_a_full_disk_is_one_message_and_the_next_append_goes_on(tmp_path):
    """The process's own limit on a file's size stands in for the disk's end."""
    code = """
import resource, signal, sys
from store import StoreUnwritable, open_store
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
table = open_store(sys.argv[1]).table("rule_sets")
small, big = "x", "".join(map(str, range(200000)))
table.append([{"rule_set_hash": "1", "rule_set": small}], app_id="a", version=1)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
try:
    table.append([{"rule_set_hash": "2", "rule_set": big}], app_id="a", version=2)
except StoreUnwritable as error:
    print(error)
assert table.app_version("a") == 1
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert table.append([{"rule_set_hash": "2", "rule_set": big}], app_id="a", version=2)
print(sorted(table.read()["rule_set_hash"]))
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    message, rows = done.stdout.strip().splitlines()
    assert message.startswith(f"{tmp_path}/rule_sets cannot be written: ")
    assert rows == "['1', '2']"


def test_a_store_whose_place_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnwritable, match="cannot be written"):
        open_store(str(tmp_path / "file" / "st"))


@pytest.mark.parametrize("kind", ["folder", "uri"])
def test_small_files_are_written_listed_and_cleared_in_a_folder_and_on_a_uri(tmp_path, kind):
    place = SmallFiles(str(tmp_path / "p") if kind == "folder" else (tmp_path / "p").as_uri())
    assert place.read("a/b.json") is None
    assert place.names("a") == []
    place.write("a/b.json", "one")
    place.write("a/b.json", "two")
    place.write("c.json", "three")
    assert place.read("a/b.json") == "two"
    assert place.names("a") == ["b.json"]
    place.clear()
    assert place.read("c.json") is None
