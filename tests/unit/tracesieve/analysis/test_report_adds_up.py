"""Every part of a report adds up to its totals, and says what pandas says of the same traces and spans."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.made_store import BEGIN_US, END_US, made_store
from rules.alerting.histogram import bucket_index
from rules.units import DAY_US, HOUR_US
from store import open_store
from tracesieve.analysis.report import report

TRACES = 3000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_store(tmp_path_factory.mktemp("made"), TRACES)


@pytest.fixture(scope="module")
def document(folder: Path) -> dict[str, Any]:
    store = open_store(str(folder / "store"), create=False)
    return report(store, BEGIN_US, END_US, ["environment"], END_US + DAY_US)


@pytest.fixture(scope="module")
def facts(folder: Path) -> pd.DataFrame:
    files = sorted((folder / "store" / "facts").glob("*.parquet"))
    return pd.concat(pd.read_parquet(file) for file in files).reset_index(drop=True)


@pytest.fixture(scope="module")
def spans(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "spans.parquet")


def test_steps_and_groups_add_up_to_the_range(document: dict[str, Any]) -> None:
    for rows in (document["by_time"], document["groups"]):
        for key in ("traces", "errors"):
            assert sum(row[key] for row in rows) == document[key]
        for kind in ("input", "output", "total"):
            assert sum(row["tokens"][kind] or 0 for row in rows) == document["tokens"][kind]
        assert sum(row["cost_usd"] or 0 for row in rows) == pytest.approx(document["cost_usd"])


def test_patterns_add_up_to_the_failures_and_trends_to_their_pattern(document: dict[str, Any]) -> None:
    rows, failures = document["error_patterns"], document["failures"]
    assert sum(row["traces"] for row in rows) == failures["failed"] + failures["handled"]
    assert failures["failed"] + failures["unknown"] == document["errors"]
    assert sum(row["share"] for row in rows) == pytest.approx(1)
    assert all(sum(row["trend"]) == row["traces"] for row in rows)
    assert all(len(row["trend"]) == len(document["by_time"]) for row in rows)
    assert all(row["samples"] == [one["trace_id"] for one in row["sample_inputs"]] for row in rows)


def test_hours_are_those_of_pandas(document: dict[str, Any], facts: pd.DataFrame) -> None:
    by_hour = facts.groupby((facts["end_us"] - BEGIN_US) // HOUR_US)
    assert len(document["by_time"]) == 24
    for place, part in by_hour:
        row = document["by_time"][place]
        p50, p95 = np.quantile(part["duration_us"], [0.5, 0.95], method="inverted_cdf") / 1000
        assert row["traces"] == len(part)
        assert row["error_rate"] == pytest.approx(part["error"].mean())
        assert (row["p50_ms"], row["p95_ms"]) == pytest.approx((p50, p95), rel=0.0056)
        assert row["tokens"]["total"] == part["tokens_total"].sum()
        assert row["cost_usd"] == pytest.approx(part["cost_nusd"].sum() / 1e9)


def test_slow_patterns_are_those_of_pandas(
    document: dict[str, Any], facts: pd.DataFrame, spans: pd.DataFrame
) -> None:
    bucket = bucket_index(np.array([*facts["duration_us"], document["p95_ms"] * 1000], dtype=np.int64))
    slow = facts[bucket[:-1] > bucket[-1]]
    assert len(slow) == pytest.approx(TRACES / 20, abs=TRACES / 100)
    assert document["slow"] == {"traces": len(slow), "above_ms": document["p95_ms"], "unknown": 0}
    of_slow = spans[spans["trace"].isin(slow.index)]
    critical = of_slow.groupby(["trace", "span_name"], observed=True)["critical_us"].sum().reset_index()
    most = critical.loc[critical.groupby("trace")["critical_us"].idxmax()].set_index("trace")
    counted = most["span_name"].astype(str).value_counts().to_dict()
    assert {row["span_name"]: row["traces"] for row in document["slow_patterns"]} == counted
    assert sum(row["share"] for row in document["slow_patterns"]) == pytest.approx(1)
    for row in document["slow_patterns"]:
        traces = most.index[most["span_name"] == row["span_name"]]
        durations = slow.loc[traces, "duration_us"]
        whole = critical[critical["trace"].isin(traces)]["critical_us"].sum()
        assert row["critical_share"] == pytest.approx(most.loc[traces, "critical_us"].sum() / whole)
        assert row["p95_ms"] * 1000 == np.quantile(durations, 0.95, method="higher")
        assert row["samples"][0] == slow.loc[durations.idxmax(), "trace_id"]


def test_hot_spots_are_those_of_pandas(
    document: dict[str, Any], facts: pd.DataFrame, spans: pd.DataFrame
) -> None:
    found = document["hot_spots"]
    by_name = spans.groupby("span_name", observed=True)[["tokens_total", "cost_nusd"]].sum()
    expected = by_name[by_name["tokens_total"] > 0]
    assert {row["span_name"]: row["tokens"] for row in found["by_span_name"]} == expected[
        "tokens_total"
    ].astype(int).to_dict()
    assert found["of_spans"]["tokens"] == by_name["tokens_total"].sum()
    assert sum(row["cost_usd"] for row in found["by_span_name"]) == pytest.approx(
        by_name["cost_nusd"].sum() / 1e9
    )
    assert [row["group"]["environment"] for row in found["by_group"]] == ["production", "staging"]
    for rows in (found["by_span_name"], found["by_group"]):
        assert sum(row["tokens_share"] for row in rows) == pytest.approx(1)
        assert sum(row["cost_share"] for row in rows) == pytest.approx(1)
    assert found["of_spans"]["tokens"] < document["tokens"]["total"]  # some traces say twice as much
    assert document["freshness"]["usage_disagrees"] == facts["usage_disagrees"].sum()


def test_nothing_is_called_a_spike_or_new(document: dict[str, Any]) -> None:
    assert document["spikes"] == []
    assert {row["state"] for row in document["error_patterns"]} == {None}
