"""``profile``: the numbers of a range beside pandas on the same traces; groups, rules, what facts lack."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.counted_traces import count

from rules.rule_set import build_rule_set, parse_rule
from store import Store, open_store
from tracesieve.analysis.profile import profile
from tracesieve.analysis.report import report
from tracesieve.errors import TracesieveError

T0 = 1_800_000_000_000_000
HOUR = 3_600_000_000
STEPS = [
    ("RETRIEVER", "search_documents"),
    ("CHAT_MODEL", "draft"),
    ("TOOL", "app.tools.lookup"),
    ("TOOL", "other.lookup"),
    ("CHAT_MODEL", "answer"),
]
SLOW = build_rule_set([parse_rule({"id": "slow", "when": "execution_time_ms > 3000", "tag": "slow"})])


def span(trace: int, place: int, kind: str, name: str, start: int, end: int, **more: Any) -> dict[str, Any]:
    tokens = more.pop("tokens", None)
    attributes = [("mlflow.spanType", json.dumps(kind))]
    if tokens is not None:
        usage = {"input_tokens": tokens, "output_tokens": tokens // 2, "total_tokens": tokens + tokens // 2}
        cost = {"total_cost": tokens / 1e6}
        attributes += [("mlflow.chat.tokenUsage", json.dumps(usage)), ("mlflow.llm.cost", json.dumps(cost))]
    return {
        "span_id": f"{trace:08x}{place:08x}",
        "parent_id": None if place == 0 else f"{trace:08x}{0:08x}",
        "name": name,
        "start_time": start,
        "end_time": end,
        "status_code": more.get("status", "OK"),
        "attributes": attributes,
        "events": [],
    }


def total_tokens(one: dict[str, Any]) -> int | None:
    found = json.loads(dict(one["attributes"]).get("mlflow.chat.tokenUsage", "{}"))
    total: int | None = found.get("total_tokens")
    return total


def trace(r: random.Random, number: int, **changes: Any) -> dict[str, Any]:
    """An agent that calls its steps one after the other, some of them several times."""
    start = T0 + number * 1_000_000
    spans, now = [], start + r.randint(0, 50_000)
    for place, (kind, name) in enumerate(r.choices(STEPS, k=r.randint(0, 8)), 1):
        took = int(r.lognormvariate(12, 1))
        status = r.choice(["OK"] * 9 + ["ERROR"])
        tokens = r.choice([None, 10, 2000]) if kind == "CHAT_MODEL" else None
        spans.append(span(number, place, kind, name, now, now + took, status=status, tokens=tokens))
        now += took + r.randint(0, 20_000)
    used = sum(total_tokens(one) or 0 for one in spans)
    return {
        "trace_id": f"t{number}",
        "experiment_name": r.choice(["support", "search"]),
        "request_time": start,
        "state": "OK",
        "execution_duration_ms": (now - start) / 1000,
        "tags": [("environment", r.choice(["production", "staging"]))],
        "trace_metadata": [("mlflow.trace.tokenUsage", json.dumps({"total_tokens": used}))],
        "spans": [span(number, 0, "AGENT", "agent", start, now), *spans],
        **changes,
    }


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    r = random.Random(7)
    return [trace(r, number) for number in range(400)]


@pytest.fixture(scope="module")
def store(rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = open_store(str(tmp_path_factory.mktemp("store")))
    for number in range(4):
        count(store, number, rows[number * 100 : number * 100 + 100], SLOW)
    return store


def of(store: Store, **more: Any) -> dict[str, Any]:
    return profile(store, T0, T0 + 10 * HOUR, T0 + 20 * HOUR, **more)


def frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """What a person would make of the traces in a notebook: a row a span."""
    found = []
    for row in rows:
        for one in row["spans"]:
            took = one["end_time"] - one["start_time"]
            below = [] if one["parent_id"] else row["spans"][1:]
            inner = sum(x["end_time"] - x["start_time"] for x in below)
            attributes = dict(one["attributes"])
            found.append(
                {
                    "trace_id": row["trace_id"],
                    "span_type": json.loads(attributes["mlflow.spanType"]),
                    "span_name": one["name"],
                    "error": one["status_code"] == "ERROR",
                    "ms": took / 1000,
                    "self_ms": (took - inner) / 1000,
                    "tokens": total_tokens(one),
                    "cost": json.loads(attributes.get("mlflow.llm.cost", "{}")).get("total_cost"),
                }
            )
    return pd.DataFrame(found)


@pytest.mark.parametrize("key", ["span_type", "span_name"])
def test_the_numbers_are_those_of_pandas_on_the_same_traces(
    store: Store, rows: list[dict[str, Any]], key: str
) -> None:
    found = {row[key]: row for row in of(store)[f"by_{key}"]}
    spans = frame(rows)
    assert set(found) == set(spans[key])
    for name, part in spans.groupby(key):
        row = found[name]
        assert row["calls"] == len(part)
        assert row["errors"] == part["error"].sum()
        assert row["total_ms"] == pytest.approx(part["ms"].sum())
        assert row["mean_ms"] == pytest.approx(part["ms"].mean())
        assert row["self_ms"] == pytest.approx(part["self_ms"].sum())
        assert row["critical_share"] == pytest.approx(part["self_ms"].sum() / spans["self_ms"].sum())
        for q in (0.5, 0.95):
            exact = np.sort(part["ms"])[int(np.ceil(q * len(part) - 1e-9)) - 1]
            assert row[f"p{int(q * 100)}_ms"] == pytest.approx(exact, rel=0.0056)
        known = part["tokens"].notna().any()
        assert row["tokens"]["total"] == (part["tokens"].sum() if known else None)
        assert row["cost_usd"] == (pytest.approx(part["cost"].sum()) if known else None)


def test_self_times_add_up_to_the_traces(store: Store, rows: list[dict[str, Any]]) -> None:
    found = of(store)
    whole = sum(row["execution_duration_ms"] for row in rows)
    for name in ("self_ms", "critical_ms"):
        assert sum(row[name] for row in found["by_span_name"]) == pytest.approx(whole)
    assert sum(row["critical_share"] for row in found["by_span_type"]) == pytest.approx(1)


def test_a_group_and_a_rule_leave_the_traces_that_they_name(store: Store, rows: list[dict[str, Any]]) -> None:
    group = {"experiment": "support", "environment": "production"}
    wanted = [one for one in rows if (one["experiment_name"], one["tags"][0][1]) == tuple(group.values())]
    found = of(store, group=group)
    assert found["traces"] == len(wanted)
    assert sum(row["calls"] for row in found["by_span_type"]) == sum(len(one["spans"]) for one in wanted)
    slow = [one for one in rows if one["execution_duration_ms"] > 3000]
    assert 0 < of(store, rule="slow")["traces"] == len(slow) < len(rows)
    with pytest.raises(TracesieveError, match=r"--rule slwo: there is no such rule \(did you mean slow\?\)"):
        of(store, rule="slwo")


def test_tools_go_by_their_short_name_with_their_success_rate(
    store: Store, rows: list[dict[str, Any]]
) -> None:
    spans = frame(rows)
    tools = spans[spans["span_type"] == "TOOL"]
    (row,) = of(store)["tools"]
    assert (row["tool"], row["calls"]) == ("lookup", len(tools))
    assert row["success_rate"] == pytest.approx(1 - tools["error"].mean())


def test_one_sentence_names_what_takes_most_of_the_time_and_never_a_wrapper(tmp_path: Path) -> None:
    def profiled(folder: str, name: str) -> dict[str, Any]:
        store = open_store(str(tmp_path / folder))
        spans = [
            span(1, 0, "CHAIN", "predict", T0, T0 + 1000_000),
            span(1, 1, "RETRIEVER", name, T0, T0 + 650_000),
        ]
        count(store, 0, [trace(random.Random(1), 0, spans=spans)])
        return of(store)

    found = profiled("a", "search_documents")
    assert found["bottleneck"] == (
        "search_documents (RETRIEVER) takes 65% of the time: "
        "usually a slow index, or more documents than are needed."
    )
    assert found["bottleneck_span"] == {
        "span_name": "search_documents",
        "span_type": "RETRIEVER",
        "critical_share": pytest.approx(0.65),
    }
    wrapped = profiled("b", "Agent.forward")
    assert (wrapped["bottleneck"], wrapped["bottleneck_span"]) == (None, None)


@pytest.mark.parametrize("from_spans", [False, True])
def test_sem_35_traces_that_say_other_than_their_spans_are_counted(tmp_path: Path, from_spans: bool) -> None:
    """As servers that added them up twice do (mlflow#22746); the config says who is believed."""
    store = open_store(str(tmp_path))
    rows = []
    for number, total in enumerate([150, 300, None]):
        spans = [span(number, 0, "AGENT", "agent", T0, T0 + 9)]
        spans.append(span(number, 1, "LLM", "model", T0, T0 + 5, tokens=100))
        usage = [] if total is None else [("mlflow.trace.tokenUsage", json.dumps({"total_tokens": total}))]
        rows.append(trace(random.Random(1), number, spans=spans, trace_metadata=usage))
    rows.append(trace(random.Random(1), 3, spans=[], trace_metadata=rows[0]["trace_metadata"]))
    count(store, 0, rows, usage_from_spans=from_spans)
    totals = dict(store.table("facts").read(["trace_id", "tokens_total"]).iter_rows())
    believed = (150, 150, 150, 150) if from_spans else (150, 300, None, 150)
    assert totals == dict(zip(("t0", "t1", "t2", "t3"), believed, strict=True))
    assert report(store, T0, T0 + 10 * HOUR, [], T0 + 20 * HOUR)["freshness"]["usage_disagrees"] == 1
    found = of(store)
    assert found["usage_disagrees"] == 1
    tokens = {row["span_type"]: row["tokens"] for row in found["by_span_type"]}
    assert tokens["LLM"] == {"input": 300, "output": 150, "total": 450}
    assert tokens["AGENT"] == {"input": None, "output": None, "total": None}


def test_facts_of_an_earlier_version_and_an_empty_range_are_met(store: Store, tmp_path: Path) -> None:
    empty = profile(store, T0 - 2 * HOUR, T0 - HOUR, T0 + HOUR)
    assert (empty["traces"], empty["by_span_type"], empty["bottleneck"]) == (0, [], None)
    old = open_store(str(tmp_path))
    facts = store.table("facts").read().drop("span_keys", "span_sums", "usage_disagrees")
    old.table("facts").append(facts.to_dicts())
    found = of(old)
    assert (found["traces"], found["without_breakdown"], found["by_span_name"]) == (400, 400, [])
