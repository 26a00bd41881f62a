"""Every table feature that Delta writes: its table is counted, explained, and the content of its traces is
read back.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest
from deltalake import DeltaTable
from support.delta_cases import NOW_US, ends, rule_set, run, trace, write

from rules.dialect import compile_condition
from rules.units import DAY_US
from store import Store
from store.content import TraceTable
from streams.sources.delta_traces.features import READABLE
from streams.sources.delta_traces.source import DeltaTracesSource
from tracesieve.analysis.explain import explain_trace
from tracesieve.analysis.selection import select
from tracesieve.config.settings import Settings

pytestmark = pytest.mark.spark
ROWS = 6


class Made(NamedTuple):
    """How a table is made, and the features that it has then; ``changes``: whether its rows may change;
    ``experiment``: what its traces are grouped by.
    """

    properties: str
    features: set[str]
    columns: str = "*"
    having: str = ""
    changes: bool = True
    experiment: str = "support"


TABLES = {
    "as Databricks makes them": Made(
        "'delta.enableDeletionVectors'='true', 'delta.columnMapping.mode'='name', "
        "'delta.enableRowTracking'='true', 'delta.checkpointPolicy'='v2', 'delta.checkpointInterval'='2', "
        "'delta.enableTypeWidening'='true', 'delta.enableInCommitTimestamps'='true'",
        {
            "deletionVectors",
            "columnMapping",
            "rowTracking",
            "domainMetadata",
            "v2Checkpoint",
            "typeWidening",
            "inCommitTimestamp",
            "clustering",
        },
        having="cluster by (request_time)",
    ),
    "mapped by id": Made(
        "'delta.columnMapping.mode'='id', 'delta.enableIcebergCompatV2'='true'",
        {"columnMapping", "icebergCompatV2"},
        having="partitioned by (experiment_id)",
    ),
    "times without a zone, variants": Made(
        "'delta.feature.variantShredding'='supported', 'delta.feature.vacuumProtocolCheck'='supported'",
        {"timestampNtz", "variantType", "variantShredding", "vacuumProtocolCheck"},
        "* except (request_time, experiment_id, experiment_name), "
        "cast(request_time as timestamp_ntz) as request_time, parse_json('{\"a\": 1}') as more, "
        "named_struct('type', 'MLFLOW_EXPERIMENT', 'mlflow_experiment', named_struct('experiment_id', '7')) "
        "as trace_location",
        experiment="7",
    ),
    "appended to, with a change feed": Made(
        "'delta.appendOnly'='true', 'delta.enableChangeDataFeed'='true', "
        "'delta.feature.allowColumnDefaults'='supported', 'delta.feature.checkpointProtection'='supported', "
        "'delta.feature.materializePartitionColumns'='supported'",
        {
            "appendOnly",
            "changeDataFeed",
            "allowColumnDefaults",
            "checkpointProtection",
            "materializePartitionColumns",
        },
        "* except (experiment_id, experiment_name), "
        '\'{"inference_table": {"full_table_name": "a.b.c"}}\' as trace_location',
        having="partitioned by (state)",
        changes=False,
        experiment="a.b.c",
    ),
}


def make(spark: Any, folder: Path, made: Made) -> Path:
    source, rows = folder / "source", folder / "rows"
    write(rows, [trace(n, request=f"asked {n}", response=f"answered {n}") for n in range(ROWS)])
    spark.sql(
        f"create table delta.`{source}` using delta {made.having} tblproperties ({made.properties}) "
        f"as select {made.columns} from delta.`{rows}` where trace_id != 'tr-5'"
    )
    if "typeWidening" in made.features:  # a file with an int, and files with a bigint
        spark.sql(f"alter table delta.`{source}` add columns (landed_us int)")
        spark.sql(f"update delta.`{source}` set landed_us = 5 where trace_id = 'tr-1'")
        spark.sql(f"alter table delta.`{source}` alter column landed_us type bigint")
    if made.changes:
        spark.sql(f"update delta.`{source}` set response = 'changed' where trace_id = 'tr-2'")
        spark.sql(f"delete from delta.`{source}` where trace_id = 'tr-4'")
    more = ", cast(null as bigint) as landed_us" if "typeWidening" in made.features else ""
    insert = f"select {made.columns}{more} from delta.`{rows}` where trace_id = 'tr-5'"
    spark.sql(f"insert into delta.`{source}` by name {insert}")
    return source


def starts(store: Store) -> dict[str, int]:
    return dict(store.table("facts").read(["trace_id", "start_us"]).iter_rows())


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_counted_explained_and_read_back(spark: Any, tmp_path: Path, name: str) -> None:
    made = TABLES[name]
    source = make(spark, tmp_path, made)
    has = set(spark.sql(f"describe detail delta.`{source}`").first()["tableFeatures"])
    assert has >= made.features
    store = run(spark, tmp_path / "store", source)
    gone = {"tr-4"} if made.changes else set()
    assert ends(store)["counted"] == ROWS - len(gone)
    assert set(store.table("facts").read()["experiment"]) == {made.experiment}
    content = TraceTable(str(source))
    wanted = {f"tr-{n}": (f"asked {n}", f"answered {n}") for n in range(ROWS)}
    if made.changes:
        wanted["tr-2"] = ("asked 2", "changed")
    ids = {f"tr-{n}": starts(store).get(f"tr-{n}", starts(store)["tr-0"]) for n in range(ROWS)}
    hidden = (
        set() if made.features >= {"deletionVectors", "typeWidening"} else gone
    )  # see store/data_files.py
    assert content.contents(ids) == {key: one for key, one in wanted.items() if key not in hidden}
    assert content.contents({"tr-0": ids["tr-0"] + 9 * DAY_US}) == {}
    asked = compile_condition("request LIKE 'asked%' AND span.name = 'search' AND span.type = 'TOOL'")
    selected = select(store, content, asked, 0, NOW_US, NOW_US)
    assert set(selected.facts["trace_id"]) == set(ids) - gone
    settings = Settings(
        source=DeltaTracesSource(table=str(source)), store=str(tmp_path / "store"), base_dir=str(tmp_path)
    )
    explained = explain_trace(settings, store, rule_set(), "tr-0", NOW_US)
    assert explained["counted"]["rules"] == ["tool-errors"]
    assert {one["rule"]: one["matched"] for one in explained["rules"]} == {
        "tool-errors": True,
        "slow-rate": False,
    }


def test_every_feature_that_readers_must_know_is_tried() -> None:
    tried = set().union(*(made.features for made in TABLES.values()))
    assert {name for name in READABLE if not name.endswith("-preview")} <= tried


def test_a_newest_checkpoint_of_the_other_form_is_read(spark: Any, tmp_path: Path) -> None:
    source = make(spark, tmp_path, TABLES["as Databricks makes them"])
    log = source / "_delta_log"
    checkpoints = sorted(int(one.name.split(".")[0]) for one in log.glob("[0-9]*.checkpoint.*"))
    for commit in log.glob("*.json"):
        number = commit.name.removesuffix(".json")
        if number.isdigit() and int(number) < checkpoints[-1]:
            commit.unlink()
    assert DeltaTable(str(source)).version() >= checkpoints[-1] > 0
    assert TraceTable(str(source)).row("tr-1", None).column("landed_us").to_pylist() == [5]
