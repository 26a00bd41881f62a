"""Which trace stands behind which record: one commit a change, and the same after a restart whatever the
clock did.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sinks.mlflow.provenance import parsed
from sinks.mlflow.records import GONE, LEAVING, RecordKey, Records, RecordSource, marked
from store import Table, open_store

ONE, TWO = RecordKey("d", "1", "a"), RecordKey("d", "1", "b")


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return open_store(str(tmp_path)).table("records")


def test_sem_23_sources_come_and_go_and_a_restart_knows_them(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 2_000
    monkeypatch.setattr("sinks.mlflow.records.time.time_ns", lambda: now * 1000)
    records = Records(table)
    t1, t2 = RecordSource("t1", 5, (("r", "h"),), "why"), RecordSource("t2", 6)
    records.change({ONE: {"t1": t1, "t2": t2}, TWO: {"t1": t1}})
    now = 1_000  # the clock is set back
    records.change({ONE: {"t1": None, "t2": RecordSource("t2", 7)}})
    assert table.version() == 1
    records.change({ONE: {"t2": RecordSource("t2", 7)}})
    assert table.version() == 1  # nothing new, nothing written
    for seen in (records, Records(table)):
        assert seen.sources(ONE) == {"t2": RecordSource("t2", 7)}
        assert (seen.of_trace("t1"), seen.of_trace("t2")) == ([TWO], [ONE])
        assert seen.traces() == {"t1", "t2"}


def test_sem_23_markers_stand_for_no_trace(table: Table) -> None:
    records = Records(table)
    records.change({ONE: {"t1": RecordSource("t1", 5), **marked(GONE)}, TWO: marked(LEAVING)})
    for seen in (records, Records(table)):
        assert set(seen.sources(ONE)) == {"t1"}
        assert (seen.is_gone(ONE), seen.is_gone(TWO), seen.leaving()) == (True, False, [TWO])
    records.change({TWO: {LEAVING: None}})
    assert Records(table).leaving() == []


@pytest.mark.parametrize(
    "text",
    [
        "NaN",
        "[Infinity]",
        '{"a": [-Infinity]}',
        "1e999",
        "1" + "0" * 400,
        "{",
        "[" * 5000,
        "[" * 70 + "]" * 70,
    ],
)
def test_what_not_every_database_can_hold_stays_a_text(text: str) -> None:
    assert parsed(text) == text


@pytest.mark.parametrize("text", ["true", "12345678901234567890", "-1.5e300", '{"a": null}', '"\\ud800"'])
def test_other_json_is_its_value(text: str) -> None:
    assert json.dumps(parsed(text)) == json.dumps(json.loads(text))
