"""Rows that nobody means well with, through everything that a batch and ``explain`` do with a trace's
content: nothing breaks, no other trace is harmed, and what cannot be read is counted.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import hostile_traces as hostile
from support.spark_conditions import NUMBERS, TEXTS

from rules.groups import DEFAULT_GROUP_BY
from rules.loading.packs import load_packs
from rules.rule_set import RuleSet, build_rule_set, parse_rule
from store import net_facts
from store.schemas import FACTS
from store.windows import merge, partials
from streams.batch.classify import classify
from streams.batch.match import NARROW, Plan, mapper, plan, unpacked
from streams.batch.output import typed
from streams.batch.resolve import resolve
from tracesieve.analysis.explain import by_rule

NOW_US = 1_800_000_000_000_000
GROUP_BY = (*DEFAULT_GROUP_BY, "session", "model", "tags.team", "metadata.a`b")
GOOD = [
    {
        "trace_id": f"good-{number}",
        "experiment_id": "1",
        "experiment_name": "support",
        "client_request_id": "c",
        "request_time": NOW_US - number * 10**6,
        "state": "ERROR" if number else "OK",
        "execution_duration_ms": 20_000.0,
        "request": '{"q": "where is my order"}',
        "response": '"here"',
        "trace_metadata": [("mlflow.trace.tokenUsage", '{"input_tokens": 3, "output_tokens": 4}')],
        "tags": [("mlflow.traceName", "agent"), ("environment", "prod"), ("team", "a")],
        "spans": [
            {
                "name": "search",
                "status_code": "ERROR",
                "start_time": NOW_US,
                "end_time": NOW_US + 10**6,
                "attributes": [("mlflow.spanType", '"TOOL"')],
                "events": [{"name": "exception", "attributes": [("exception.type", "KeyError")]}],
            }
        ],
        "assessments": [{"assessment_name": "correct", "feedback_value": "false"}],
    }
    for number in range(2)
]
CONDITIONS = [
    *(f"{name} = 'prod' OR {name} LIKE '%a%' OR lower({name}) RLIKE 'x+'" for name in TEXTS),
    *(f"{name} > 1 OR {name} / 0 IS NULL" for name in NUMBERS),
    "any(span, span.status = 'ERROR' AND span.duration_ms > 1) OR count(span, span.name IS NULL) > 3",
    "all(span, length(span.status_message) < 5) AND sum(span, span.duration_ms) < 1e18",
    "max(span, span.duration_ms) > 5 OR min(span, span.duration_ms) < 0 OR avg(span, span.duration_ms) > 1",
    "any(span, span.exception.type = 'KeyError' OR span.exception.message ILIKE '%x%')",
    "any(span, span.attributes.temperature > 0.5 OR span.model = 'gpt' OR span.type = 'TOOL')",
    "feedback.correct = 'false' OR feedback.correct > 1 OR expectation.correct = 'x'",
    "hour(from_utc_timestamp(request_time, 'Europe/Berlin')) >= 0 OR dayofweek(request_time) = 1",
    "number(tags.team) > 1 OR has(tags.team) OR upper(coalesce(request, response, 'x')) = 'X'",
]


@cache
def rules() -> RuleSet:
    """The shipped pack, and a rule for every field and function."""
    default = load_packs(["packs/default"], GROUP_BY, ".").rule_set
    assert default is not None
    own = [{"id": f"r{n}", "when": text, "tag": "t"} for n, text in enumerate(CONDITIONS)]
    return build_rule_set([parse_rule(one) for one in [*json.loads(default.to_json()), *own]])


@cache
def todo() -> Plan:
    return plan(rules(), GROUP_BY)


def narrow(batch: pa.RecordBatch) -> pl.DataFrame:
    """What a batch gets from Spark: by the very function of ``mapInArrow``."""
    (packed,) = mapper(todo())([batch])
    rows = unpacked(pa.Table.from_batches([packed]))
    assert rows.schema.equals(NARROW)
    rows.validate(full=True)
    return pl.DataFrame(rows).with_columns(arrived_us=pl.lit(NOW_US, dtype=pl.Int64))


def counted(incoming: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The facts of some narrow rows and their windows, as they would be appended; every row is accounted
    for.
    """
    parts = classify(
        incoming,
        group_by=GROUP_BY,
        now_us=NOW_US,
        horizon_us=2**62,
        verdicts_through_us=NOW_US,
        include_evaluation=False,
    )
    refused = parts.quarantined.filter(pl.col("detail") == "not counted").height
    assert parts.ready.height + parts.in_progress.height + refused + parts.expired == incoming.height
    found = resolve(parts.ready, pl.DataFrame(FACTS.empty_table()))
    whole = found.facts.with_columns(
        pl.lit("s").alias("stream_id"), pl.lit(0, dtype=pl.Int64).alias("batch_id")
    )
    facts = pl.DataFrame(typed(whole, "facts"))
    made = partials(facts.filter(pl.col("weight") != 0), sorted(rules().partial_keys))
    assert_added_up(facts, made)
    return net_facts(facts).sort("trace_id"), merge(made)


def assert_added_up(facts: pl.DataFrame, windows: pl.DataFrame) -> None:
    """The sums of the windows are those of the facts, none of which overflowed."""
    of_all = windows.filter(pl.col("rule_hash") == "")
    sums = {"duration_sum_us": "duration_us", **{name: name for name in ("tokens_total", "cost_nusd")}}
    for total, value in sums.items():
        signed = zip(facts["weight"], facts[value], strict=True)
        assert sum(of_all[total].to_list()) == sum(weight * (amount or 0) for weight, amount in signed), total


def of_good(facts: pl.DataFrame) -> list[dict[str, Any]]:
    good = facts.filter(pl.col("trace_id").str.starts_with("good-"))
    return good.drop("content_hash", "change_us").to_dicts()


@cache
def alone() -> list[dict[str, Any]]:
    return of_good(counted(narrow(hostile.from_spark(GOOD, todo().columns)))[0])


@given(st.lists(hostile.rows(), min_size=1, max_size=2), st.integers(0, 2), st.booleans())
@hostile.few(30)
def test_a_hostile_row_breaks_no_batch_and_changes_no_other_fact(
    given_rows: list[dict[str, Any]], place: int, bad_bytes: bool
) -> None:
    mixed = [*GOOD[:place], *given_rows, *GOOD[place:]]
    batch = hostile.from_spark(mixed, todo().columns)
    facts, windows = counted(narrow(batch))
    assert of_good(facts) == alone()
    assert windows.filter(pl.col("rule_hash") == "")["traces"].sum() == facts.height
    if bad_bytes:
        counted(narrow(hostile.with_bad_bytes(batch)))


def test_megabytes_of_text_stand_in_every_place() -> None:
    assert_good_stay([{**_full_of(hostile.HUGE), "trace_id": "huge"}])


@given(hostile.rows(st.one_of(hostile.content, st.just(None))))
@hostile.few(20)
def test_every_id_is_counted_or_refused(row: dict[str, Any]) -> None:
    counted(narrow(hostile.from_spark([row], todo().columns)))


def assert_explained(row: dict[str, Any]) -> None:
    """`explain` says of a row what the batch counted, as JSON that every reader takes."""
    explained = by_rule(rules(), hostile.as_table([row]))
    hits = {hit["rule"] for hit in narrow(hostile.from_spark([row], todo().columns))["hits"][0]}
    per_trace = {rule.id for rule, _ in rules().per_trace}
    assert {one["rule"] for one in explained if one["matched"]} == hits & per_trace
    json.dumps(explained, allow_nan=False)


@given(hostile.rows())
@hostile.few(12)
def test_explain_says_of_any_row_what_the_batch_counted(row: dict[str, Any]) -> None:
    assert_explained(row)


@pytest.mark.parametrize("number", hostile.NUMBERS)
def test_every_listed_number_stands_for_a_duration(number: float) -> None:
    row = {**GOOD[0], "trace_id": "hostile", "execution_duration_ms": number}
    assert_good_stay([{**row, "trace_id": f"hostile-{n}"} for n in range(200)])
    assert_explained(row)


@pytest.mark.parametrize("amount", [-1, 9e5, 4e9, 9e14, 1e300])
def test_sums_of_listed_amounts_stay_what_they_are(amount: float) -> None:
    metadata = [
        ("mlflow.trace.tokenUsage", json.dumps({"total_tokens": amount, "input_tokens": amount})),
        ("mlflow.trace.cost", json.dumps({"total_cost": amount})),
    ]
    rows = [{**GOOD[0], "trace_id": f"hostile-{n}", "trace_metadata": metadata} for n in range(200)]
    assert_good_stay(rows)


@pytest.mark.parametrize("time_us", [*hostile.FAR, *hostile.DATES])
def test_every_listed_time_stands_for_every_time(time_us: int) -> None:
    times = {"start_time": time_us, "end_time": time_us}
    spans = [{**GOOD[0]["spans"][0], **times}, {"start_time": -time_us // 2, "end_time": time_us}]  # type: ignore[index]
    assessment = {"assessment_name": "correct", "create_time": time_us, "last_update_time": time_us}
    row = {**GOOD[0], "trace_id": "hostile", "spans": spans, "assessments": [assessment]}
    assert_good_stay([row, {**row, "request_time": time_us}, {**row, "request_time": time_us, "state": None}])
    assert_explained({**row, "request_time": time_us})


def _full_of(text: str) -> dict[str, Any]:
    """A row with that text wherever a text can be."""
    pairs = [(text, text), ("mlflow.trace.tokenUsage", text), ("mlflow.trace.cost", text), ("team", text)]
    span = dict.fromkeys(("span_id", "status_code", "status_message", "name"), text)
    span |= {"attributes": pairs, "events": [{"name": text, "attributes": [("exception.type", text)]}]}
    names = ("assessment_id", "feedback_value", "expectation_value", "rationale")
    return {
        **GOOD[0],
        **dict.fromkeys(("experiment_id", "experiment_name", "client_request_id", "state"), text),
        **dict.fromkeys(("request", "response", "trace_id"), text),
        "trace_metadata": pairs,
        "tags": pairs,
        "spans": [span],
        "assessments": [{"assessment_name": "correct", **dict.fromkeys(names, text)}],
    }


def assert_good_stay(others: list[dict[str, Any]]) -> None:
    facts, _ = counted(narrow(hostile.from_spark([*GOOD, *others], todo().columns)))
    assert of_good(facts) == alone()


@pytest.mark.parametrize("number", range(len([*hostile.TEXTS, *hostile.JSON_TEXTS])))
def test_every_listed_text_stands_in_every_place(number: int) -> None:
    row = _full_of([*hostile.TEXTS, *hostile.JSON_TEXTS][number])
    assert_good_stay([row])
    assert_good_stay([{**row, "state": "OK"}])
