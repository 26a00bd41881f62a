"""The matcher and Spark SQL agree on random conditions of what both can say, over random traces, nulls
included.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support.spark_conditions import CONDITION, Both
from support.varied_rows import ROWS, traces

from rules.dialect import compile_condition
from rules.matcher import Matcher, explain, raw_table

pytestmark = pytest.mark.spark


def test_the_matcher_agrees_with_spark_sql(spark: Any, tmp_path: Path) -> None:
    table = traces()
    pq.write_table(table, tmp_path / "traces.parquet")
    frame = spark.read.parquet(str(tmp_path / "traces.parquet")).cache()
    decided: list[bool] = []

    # Not shrunk: each attempt is a Spark job, and what differs is named by the condition itself.
    @settings(
        max_examples=15, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(st.lists(CONDITION, min_size=25, max_size=25))
    def check(drawn: list[Both]) -> None:
        # What can never be true is refused, so each may also be true for a tag that no trace has.
        conditions = [compile_condition(f"({one.ours}) OR tags.none = 'x'") for one in drawn]
        columns = [f"coalesce({one.spark}, false) as c{index}" for index, one in enumerate(drawn)]
        expected = (
            frame.selectExpr("trace_id", *columns)
            .toPandas()
            .set_index("trace_id")
            .loc[table["trace_id"].to_pylist()]
        )
        matcher = Matcher(conditions)
        raw = raw_table(table, matcher.columns)
        found = matcher.match(raw)
        for index, one in enumerate(drawn):
            of_spark = expected[f"c{index}"].tolist()
            assert found[index].tolist() == of_spark, f"{one.ours}\n{one.spark}"
            row = index * 7 % ROWS
            assert (explain(conditions[index], raw.slice(row, 1))["matched"] is True) == of_spark[row], (
                one.ours
            )
            decided.append(0 < sum(of_spark) < ROWS)

    spark.conf.set(
        "spark.sql.codegen.factoryMode", "NO_CODEGEN"
    )  # compiling what runs once takes most of the time
    try:
        check()
    finally:
        spark.conf.unset("spark.sql.codegen.factoryMode")
    assert sum(decided) > len(decided) / 3, "too many conditions hold for all traces or for none"
