"""The content of traces that nobody means well with, on its way to datasets, reports and `explain`: read
from a trace table, made records that a server's database can hold, and shown.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from hypothesis import given
from hypothesis import strategies as st
from support import hostile_traces as hostile

from sinks.mlflow.answers import fitting
from sinks.mlflow.dataset_server import ListedRecord, digest
from sinks.mlflow.provenance import OUTPUT, edited, parsed, source_of, tags_of
from sinks.mlflow.tags import changes
from store.content import TraceTable
from store.schemas import TRACES
from streams.batch.classify import EARLIEST_US, LATEST_US

GOOD = {"trace_id": "good", "request_time": 1, "request": '{"q": 1}', "response": '"a"', "spans": []}
SHORT = TRACES.remove(TRACES.get_field_index("landed_us"))


def written(folder: Path, rows: list[dict[str, Any]], *, landed: bool) -> TraceTable:
    """A trace table with these rows, as a landing or as somebody else writes it."""
    place = folder / str(len(list(folder.iterdir())))
    schema = TRACES if landed else SHORT
    write_deltalake(
        str(place), pa.Table.from_pylist([{"landed_us": 1, **row} for row in rows], schema=schema)
    )
    return TraceTable(str(place))


@given(hostile.rows(), st.booleans())
@hostile.few(5)
def test_a_row_beside_a_hostile_one_is_read_and_so_is_that(
    tmp_path_factory: pytest.TempPathFactory, row: dict[str, Any], landed: bool
) -> None:
    table = written(tmp_path_factory.mktemp("tables"), [row, GOOD], landed=landed)
    assert_read(table, row)


@pytest.mark.parametrize("time_us", [*hostile.FAR, *hostile.DATES])
def test_a_row_of_any_time_is_read(tmp_path: Path, time_us: int) -> None:
    times = {"start_time": time_us, "end_time": time_us}
    spans = [{"name": "a", "status_code": "ERROR", "status_message": "no", **times}]
    row = {**GOOD, "trace_id": "hostile", "request_time": time_us, "spans": spans}
    assert_read(written(tmp_path, [row, GOOD], landed=False), row)
    assert_read(
        written(tmp_path, [{**row, "request_time": 1}, GOOD], landed=True), {**row, "request_time": 1}
    )


def assert_read(table: TraceTable, row: dict[str, Any]) -> None:
    start_us = row["request_time"]
    starts = {"hostile": start_us or 0, "good": 1}
    contents = table.contents(starts)
    assert contents["good"] == ('{"q": 1}', '"a"')
    if start_us is not None and not EARLIEST_US <= start_us <= LATEST_US:
        start_us = None  # such a trace is not counted, so nobody asks with its start
    if start_us is not None:
        assert contents["hostile"] == (row["request"], row["response"])
    assert table.contents({"good": 1}) == {"good": ('{"q": 1}', '"a"')}
    assert table.samples(starts)["good"] == ('{"q": 1}', None)
    for start in (None, start_us):
        found = table.row("hostile", start)
        assert found.column("request").to_pylist() == [row["request"]]


@given(hostile.content)
@hostile.few(200)
def test_any_text_becomes_a_value_that_is_written_and_read_alike(text: str | None) -> None:
    """As MLflow's server and its database do: through JSON as the standard has it."""
    for schema in ({}, "string"):
        output = fitting(parsed(text), schema)
        sent = json.dumps(output, allow_nan=False)
        back = json.loads(sent.encode())
        assert json.loads(json.dumps(back)) == back
        assert digest(back) == digest(output)
        record = ListedRecord({}, back, {}, {OUTPUT: digest(output)})
        assert not edited(record)


@given(st.lists(st.tuples(hostile.content.filter(bool), hostile.content), min_size=1, max_size=4))
@hostile.few(50)
def test_provenance_of_any_ids_and_labels_is_plain_json(parts: list[tuple[str, str | None]]) -> None:
    sources = {}
    for trace_id, reason in parts:
        payload = {"trace_id": trace_id, "end_us": 1}
        sources[trace_id] = source_of(payload, {"rules": [], "reason": reason, "person": True})
    json.dumps(tags_of(sources)).encode()


@given(
    st.dictionaries(
        st.sampled_from(["eval_candidate", "tracesieve.category", "tracesieve.rules"]), hostile.texts
    )
)
@hostile.few(50)
def test_tags_come_to_what_was_asked_whatever_was_there(before: dict[str, str]) -> None:
    for payload in ({"category": "a", "rules": ["r"]}, {"category": None, "rules": []}):
        tags = dict(before)
        for change, key, value in changes(before, payload):
            tags.pop(key, None) if change == "delete" else tags.update({key: value})
        assert changes(tags, payload) == []
