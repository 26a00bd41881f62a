"""Every change that Delta allows to a source's schema, on a table that is being read: what nothing reads
stops nothing, and what stops a run is named once, with what mends it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from support.delta_cases import clock, ends, opened, run, trace, write

from store import Store
from streams.batch.config import BatchConfig
from streams.errors import SourceError
from streams.query import check_source, start
from streams.sources.delta_traces.table import DeltaTracesTable

pytestmark = pytest.mark.spark
MAPPED = "'delta.columnMapping.mode'='name'"
WIDENING = "'delta.enableTypeWidening'='true'"
VECTORS = "'delta.enableDeletionVectors'='true'"
TOOK = "execution_duration_ms"


class Source:
    """A table with two columns that nothing reads; traces come one by one."""

    def __init__(self, spark: Any, folder: Path, properties: str = "") -> None:
        self.spark, self.path, self.rows = spark, folder / "source", folder / "rows"
        self.number = 0
        write(self.rows, [trace(n) for n in range(30)])
        having = f"tblproperties ({properties})" if properties else ""
        select = f"select *, cast(1 as int) as extra, 'x' as other from delta.`{self.rows}`"
        self.sql(f"create table {{}} using delta {having} as {select} where false")
        self.append()

    def sql(self, text: str) -> None:
        self.spark.sql(text.format(f"delta.`{self.path}`"))

    def append(self, **more: str) -> None:
        """One more trace, in the columns that the table has now; those that a trace has not are null."""
        rows = self.spark.read.format("delta").load(str(self.rows)).where(f"trace_id = 'tr-{self.number}'")
        wanted = {
            field.name: field.dataType
            for field in self.spark.read.format("delta").load(str(self.path)).schema
        }
        given = {name: f"`{name}`" for name in wanted if name in rows.columns} | {"other": "'x'"} | more
        columns = []
        for name, text in given.items():
            kind = wanted[name].simpleString()
            nested = kind.startswith("array")
            columns.append(
                f"from_json(to_json({text}), '{kind}') as `{name}`"
                if nested
                else f"cast({text} as {kind}) as `{name}`"
            )
        rows.selectExpr(*columns).write.format("delta").mode("append").save(str(self.path))
        self.number += 1

    def overwrite(self, *columns: str, partition: str = "") -> None:
        """The rows that are there anew, with other columns."""
        frame = self.spark.read.format("delta").load(str(self.path)).selectExpr(*columns)
        writer = frame.write.format("delta").mode("overwrite").option("overwriteSchema", "true")
        (writer.partitionBy(partition) if partition else writer).save(str(self.path))

    @property
    def version(self) -> int:
        return DeltaTable(str(self.path)).version()

    @property
    def ids(self) -> set[str]:
        return {f"tr-{n}" for n in range(self.number)}


def restore(source: Source) -> None:
    before = source.version
    source.overwrite("*", "1 as more_yet")
    source.append()
    source.sql(f"restore table {{}} to version as of {before}")


def add_and_take_away(source: Source) -> None:
    source.sql("alter table {} add columns (late string)")
    source.append(late="'y'")
    source.overwrite("* except (late)")


Change = Callable[[Source], None]
# In this order on one table; MAPPED and WIDENING are put on it in the midst.
CHANGES: list[tuple[str, Change]] = [
    ("add", lambda s: s.sql("alter table {} add columns (more string comment 'x')")),
    ("add in spans", lambda s: s.sql("alter table {} add columns (spans.element.more string)")),
    ("reorder", lambda s: s.sql("alter table {} alter column extra first")),
    ("comment on a column", lambda s: s.sql("alter table {} alter column state comment 'how it ended'")),
    ("drop by overwrite", lambda s: s.overwrite("* except (extra)")),
    ("retype by overwrite", lambda s: s.overwrite("* except (more)", "7 as more")),
    ("restore", restore),
    ("add and take away", add_and_take_away),
    ("partitions", lambda s: s.overwrite("*", partition="other")),
    ("no partitions", lambda s: s.overwrite("*", "1 as extra")),
    ("nullability", lambda s: s.sql("alter table {} alter column more drop not null")),
    ("constraint", lambda s: s.sql("alter table {} add constraint has_id check (trace_id is not null)")),
    ("no constraint", lambda s: s.sql("alter table {} drop constraint has_id")),
    ("comment", lambda s: s.sql("comment on table {} is 'traces of support'")),
    ("property", lambda s: s.sql("alter table {} set tblproperties ('delta.appendOnly'='false')")),
    ("deletion vectors", lambda s: s.sql(f"alter table {{}} set tblproperties ({VECTORS})")),
    ("column mapping", lambda s: s.sql(f"alter table {{}} set tblproperties ({MAPPED}, {WIDENING})")),
    ("widen", lambda s: s.sql("alter table {} alter column extra type bigint")),
    ("rename", lambda s: s.sql("alter table {} rename column extra to surplus")),
    ("drop", lambda s: s.sql("alter table {} drop column surplus")),
    ("add again", lambda s: s.sql("alter table {} add columns (surplus string)")),
    ("drop in spans", lambda s: s.sql("alter table {} drop column spans.element.trace_id")),
    ("narrow what is read", lambda s: s.overwrite(f"* except ({TOOK})", f"cast({TOOK} as int) as {TOOK}")),
    ("widen what is read", lambda s: s.sql(f"alter table {{}} alter column {TOOK} type bigint")),
]
EVERY = 4  # a trace comes after so many changes


def counted(store: Store) -> set[str]:
    return set(store.table("facts").read()["trace_id"])


def test_changes_to_what_nothing_reads_while_it_is_down_stop_nothing(spark: Any, tmp_path: Path) -> None:
    source = Source(spark, tmp_path)
    run(spark, tmp_path / "store", source.path)
    for number, (_, change) in enumerate(CHANGES, 1):
        change(source)
        if number % EVERY == 0:
            source.append()
    store = run(spark, tmp_path / "store", source.path)
    assert counted(store) == source.ids
    assert ends(store)["amended"] == 0


def test_changes_to_what_nothing_reads_while_it_runs_stop_nothing(spark: Any, tmp_path: Path) -> None:
    source = Source(spark, tmp_path)
    store, config = opened(tmp_path / "store", source.path)
    handle = start(spark, config, clock)
    try:
        for number, (name, change) in enumerate(CHANGES, 1):
            change(source)
            if number % EVERY:
                continue
            source.append()
            until = time.monotonic() + 120
            while counted(store) != source.ids:
                assert time.monotonic() < until, f"up to {name}: {handle.error()}"
                handle.poll()
                assert handle.active, f"up to {name}: {handle.error()}"
                time.sleep(0.1)
    finally:
        handle.stop()
    assert ends(store)["amended"] == 0


def mapped(config: BatchConfig, **columns: str) -> BatchConfig:
    return replace(config, table=DeltaTracesTable(config.table.uri, tuple(columns.items())))


def test_a_column_that_is_read_is_dropped_and_comes_back(spark: Any, tmp_path: Path) -> None:
    source = Source(spark, tmp_path)
    run(spark, tmp_path / "store", source.path)
    source.append()
    before = source.version
    source.overwrite("* except (state)")
    message = (
        rf"column state is missing \(map it .*since its version {before + 1} \(WRITE\).* the next run goes on"
    )
    for _ in range(2):  # the same for ever, also for `doctor`
        with pytest.raises(SourceError, match=message):
            run(spark, tmp_path / "store", source.path)
    source.sql(f"restore table {{}} to version as of {before}")
    with pytest.raises(SourceError, match=r"column state is missing .*still to be read.*run --rebuild"):
        run(spark, tmp_path / "store", source.path)
    assert counted(run(spark, tmp_path / "store", source.path, rebuild=True)) == source.ids


def test_a_column_that_is_read_is_renamed_and_mapped(spark: Any, tmp_path: Path) -> None:
    source = Source(spark, tmp_path, MAPPED)
    run(spark, tmp_path / "store", source.path)
    source.append()
    source.sql("alter table {} rename column state to outcome")
    source.append(outcome="state")
    with pytest.raises(SourceError, match=r"column state is missing .*\(RENAME COLUMN\)"):
        run(spark, tmp_path / "store", source.path)
    store, config = opened(tmp_path / "store", source.path)
    start(spark, mapped(config, state="outcome"), clock, once=True).wait()
    assert counted(store) == source.ids
    assert set(store.table("facts").read()["state"]) == {"OK", "ERROR"}
    source.sql("alter table {} rename column spans.element.name to title")
    with pytest.raises(SourceError, match=r"column spans is missing the fields name, .*RENAME COLUMN"):
        check_source(mapped(config, state="outcome"))


def test_while_it_runs_a_column_that_may_be_missing_goes_and_one_that_may_not(
    spark: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = Source(spark, tmp_path, MAPPED)
    store, config = opened(tmp_path / "store", source.path)
    handle = start(spark, config, clock)
    try:
        source.sql("alter table {} drop column response")
        source.append()
        until = time.monotonic() + 120
        while counted(store) != source.ids:
            assert time.monotonic() < until
            handle.poll()
            time.sleep(0.1)
        assert [one.getMessage() for one in caplog.records if "response was dropped" in one.getMessage()]
        source.overwrite("* except (state)", "7 as state")
        with pytest.raises(SourceError, match=r"column state is int32, not string, since its version"):
            while time.monotonic() < until:
                handle.poll()
                time.sleep(0.1)
    finally:
        handle.stop()


def test_a_table_that_is_replaced_is_another_table(spark: Any, tmp_path: Path) -> None:
    source = Source(spark, tmp_path)
    run(spark, tmp_path / "store", source.path)
    source.sql(f"create or replace table {{}} using delta as select * from delta.`{source.rows}`")
    with pytest.raises(SourceError, match=r"not the table that was read so far.*--rebuild"):
        run(spark, tmp_path / "store", source.path)
    assert len(counted(run(spark, tmp_path / "store", source.path, rebuild=True))) == 30
