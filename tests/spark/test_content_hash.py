"""What changes a content hash, item by item; and that a static frame and a stream are read alike."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from support.content_cases import CHANGED, ERRORS, NOTHING, SAME, SECOND, base, counted, micros, narrow_of
from support.delta_cases import T0, rule_set, trace, write

from streams.batch.columns import raw_frame

pytestmark = pytest.mark.spark


def test_sem_01_04_each_item_of_the_content_list_changes_the_hash_and_nothing_else_does(
    spark: Any, tmp_path: Path
) -> None:
    rows = [*CHANGED.values(), *SAME.values(), *ERRORS, *NOTHING]
    found = narrow_of(spark, rows, tmp_path / "t")
    hashes = found["content_hash"].to_list()
    changed = dict(zip(CHANGED, hashes, strict=False))
    same = dict(zip(SAME, hashes[len(CHANGED) :], strict=False))
    original = same["itself"]
    assert [name for name, value in changed.items() if value == original] == []
    assert len(set(changed.values())) == len(changed)
    assert [name for name, value in same.items() if value != original] == []
    errors, nothing = hashes[-len(NOTHING) - len(ERRORS) : -len(NOTHING)], hashes[-len(NOTHING) :]
    assert len(set(errors)) == 1
    assert len(set(nothing)) == 1
    changes = found["change_us"].to_list()[len(CHANGED) : len(CHANGED) + len(SAME)]
    assert dict(zip(SAME, changes, strict=True))["our own assessments"] == changes[0]
    change = dict(zip(CHANGED, found["change_us"].to_list(), strict=False))
    assert (
        change["an assessment's time"] == micros(T0 + 3 * SECOND) + 137_000
    )  # the trace ends later than that
    assert change["span end"] == micros(T0 + 5 * SECOND)


def test_the_same_function_serves_a_static_frame_and_a_stream(spark: Any, tmp_path: Path) -> None:
    rows = [trace(n) for n in range(40)]
    found = narrow_of(spark, rows, tmp_path / "source")
    facts = pl.DataFrame(list(counted(spark, tmp_path, rule_set()).values())).sort("trace_id")
    for name in ("trace_id", "content_hash", "change_us", "hits", "group", "tokens_total"):
        assert facts[name].to_list() == found[name].to_list(), name


def test_of_spans_only_the_fields_that_the_content_has_are_read(spark: Any, tmp_path: Path) -> None:
    write(tmp_path / "t", [base()])
    frame = raw_frame(spark.read.format("delta").load(str(tmp_path / "t")), ["tags[environment]"])
    spark.conf.set("spark.sql.maxMetadataStringLength", "100000")
    try:
        plan = frame._jdf.queryExecution().executedPlan().toString()
    finally:
        spark.conf.unset("spark.sql.maxMetadataStringLength")
    (read,) = re.findall(r"ReadSchema: (.*)", plan)
    assert "spans:array<struct<span_id:string,start_time" in read
    assert "events" not in read
