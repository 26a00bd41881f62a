"""Spikes and what changed then: nothing in pure chance, a planted cause first."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import polars as pl
import pytest

from rules.units import HOUR_US
from tracesieve.analysis.report_steps import steps_of
from tracesieve.analysis.spikes import spikes

DAY = 1_763_596_800_000_000
HOURS = 24
STEPS = steps_of(DAY, DAY + HOURS * HOUR_US)
KEYS = ["model", "version"]
TOOLS = ("crm", "search", "weather")


def traffic(seed: int, number: int = 6000) -> dict[str, Any]:
    """Columns of a day of pure chance: 2% fail, whatever the model, the version and the tool."""
    rng = np.random.default_rng(seed)
    return {
        "end_us": DAY + np.sort(rng.integers(0, HOURS * HOUR_US, number)),
        "error": rng.random(number) < 0.02,
        "duration_us": rng.lognormal(14, 0.6, number).astype(np.int64),
        "tokens_total": rng.lognormal(6, 0.8, number).astype(np.int64),
        "cost_nusd": rng.lognormal(12, 0.8, number).astype(np.int64),
        "model": rng.choice(["big", "small"], number, p=[0.3, 0.7]).astype(object),
        "version": np.full(number, "v1", object),
        "tool": rng.choice(TOOLS, number, p=[0.1, 0.6, 0.3]).astype(object),
        "merged": np.full(number, None, object),
    }


def hour(columns: dict[str, Any], first: int, last: int) -> np.ndarray[Any, Any]:
    """Which traces end in these hours."""
    at = (columns["end_us"] - DAY) // HOUR_US
    found: np.ndarray[Any, Any] = (at >= first) & (at <= last)
    return found


def found_in(columns: dict[str, Any]) -> list[dict[str, Any]]:
    failed = columns["error"]
    columns["merged"] = np.where(failed & (columns["merged"] == None), "p0", columns["merged"])  # noqa: E711
    spans = [json.dumps([["AGENT", "agent"], ["TOOL", f"tools.{tool}"]]) for tool in columns["tool"]]
    frame = pl.DataFrame(
        {
            "trace_id": [f"t{n}" for n in range(len(failed))],
            **{
                name: columns[name]
                for name in ("end_us", "error", "duration_us", "tokens_total", "cost_nusd")
            },
            "group_by": [KEYS] * len(failed),
            "group": [list(one) for one in zip(columns["model"], columns["version"], strict=True)],
            "span_keys": spans,
            "merged": pl.Series(columns["merged"].tolist(), dtype=pl.String),
        }
    )
    named = frame.with_columns(STEPS.column(), text="merged")
    return spikes(named, STEPS)


def test_pure_chance_has_spikes_no_more_often_than_stated() -> None:
    """At 1% over all hours and measures, more than 3 of 60 ranges are less likely than 1 in 300."""
    assert sum(bool(found_in(traffic(seed, 1500))) for seed in range(60)) <= 3


def test_a_version_that_fails_is_the_first_cause() -> None:
    columns = traffic(1)
    rng = np.random.default_rng(2)
    now = hour(columns, 13, 14)
    new = now & (rng.random(len(now)) < 0.5)
    columns["version"][new] = "v2"
    columns["error"] |= new & (rng.random(len(now)) < 0.4)
    (spike,) = found_in(columns)
    assert (spike["measure"], spike["from"][11:16], spike["to"][11:16]) == ("error_rate", "13:00", "15:00")
    assert spike["traces"] == int(now.sum())
    assert spike["affected"] == int((columns["error"] & now).sum())
    assert spike["usual"] == pytest.approx(columns["error"][~now].mean())
    first = spike["changed"][0]
    assert (first["kind"], first["key"], first["value"], first["state"]) == (
        "group",
        "version",
        "v2",
        "appears",
    )
    assert (first["traces"], first["traces_before"]) == (int(new.sum()), 0)
    assert first["affected"] == int((new & columns["error"]).sum())
    assert spike["compared_with"] == "before"
    assert spike["others"] == int(hour(columns, 0, 12).sum())


def test_a_tool_that_fails_without_more_traffic_is_the_first_cause() -> None:
    columns = traffic(3)
    bad = hour(columns, 9, 9) & (columns["tool"] == "crm")
    columns["error"] |= bad
    (spike,) = found_in(columns)
    first = spike["changed"][0]
    assert (first["kind"], first["value"], first["state"]) == ("tool", "crm", "grows")
    assert first["traces"] == int(bad.sum()) == first["affected"]
    assert {"agent"}.isdisjoint(row["value"] for row in spike["changed"])  # it is in every trace


def test_a_new_failure_pattern_is_the_first_cause_where_nothing_else_changed() -> None:
    columns = traffic(4)
    bad = hour(columns, 20, 20) & (np.random.default_rng(9).random(len(columns["error"])) < 0.3)
    columns["error"] |= bad
    columns["merged"][bad] = "quota"
    (spike,) = found_in(columns)
    assert (spike["changed"][0]["kind"], spike["changed"][0]["value"]) == ("pattern", "quota")
    assert len(spike["changed"]) == 1


@pytest.mark.parametrize(
    ("column", "measure"),
    [("duration_us", "p95_ms"), ("tokens_total", "p95_tokens"), ("cost_nusd", "p95_cost_usd")],
)
def test_a_model_that_becomes_slow_or_dear_is_the_first_cause(column: str, measure: str) -> None:
    columns = traffic(5)
    bad = hour(columns, 6, 8) & (columns["model"] == "big")
    columns[column][bad] *= 6
    (spike,) = found_in(columns)
    assert spike["measure"] == measure
    assert spike["value"] > 2 * spike["usual"]
    assert (spike["changed"][0]["key"], spike["changed"][0]["value"]) == ("model", "big")


def test_everything_slower_alike_names_no_cause() -> None:
    columns = traffic(6)
    columns["duration_us"][hour(columns, 6, 7)] *= 4
    (spike,) = found_in(columns)
    assert (spike["measure"], spike["changed"]) == ("p95_ms", [])


def test_a_spike_at_the_very_beginning_is_compared_with_what_comes_after() -> None:
    columns = traffic(7)
    bad = hour(columns, 0, 0) & (columns["model"] == "small")
    columns["error"] |= bad & (np.random.default_rng(1).random(len(bad)) < 0.5)
    (spike,) = found_in(columns)
    assert spike["compared_with"] == "after"
    assert (spike["changed"][0]["key"], spike["changed"][0]["value"]) == ("model", "small")


def test_more_traffic_alone_is_no_spike() -> None:
    columns, more = traffic(8), traffic(9, 3000)
    more["end_us"] = DAY + 10 * HOUR_US + (more["end_us"] - DAY) // HOURS
    assert found_in({name: np.concatenate([columns[name], more[name]]) for name in columns}) == []


def test_no_traces_have_no_spikes() -> None:
    assert found_in({name: values[:0] for name, values in traffic(1).items()}) == []
