"""The text of ``/metrics``: every family from the first scrape, and nothing that a trace holds can break
it.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from support.servers import needs

from sinks.http.buckets import BUCKETS_S
from sinks.http.server import MetricsConfig
from sinks.prometheus.families import FAMILIES
from sinks.prometheus.state import OVERFLOW, MetricsState

DOCS = Path(__file__).parents[3] / "docs" / "metrics.md"
HOSTILE = [
    "new\nline",
    'quote"',
    "back\\slash",
    "x" * 10_000,
    "\ud800 lone",
    "\x00\x1b[31m",
    'a="b"} 1\n# TYPE x counter',
    "é\u202e",
    "",
]


def fact(**changes: Any) -> dict[str, Any]:
    row = {
        "trace_id": "tr-1",
        "group": ["shop"],
        "state": "OK",
        "duration_us": 1_500_000,
        "end_us": 1_800_000_000_000_000,
        "tokens_input": 10,
        "tokens_output": 5,
        "cost_nusd": 2_000_000_000,
        "hits": [{"rule": "slow", "hash": "h"}],
    }
    return {**row, **changes}


def text(state: MetricsState) -> str:
    return generate_latest(state.registry()).decode()


def samples(state: MetricsState, name: str) -> dict[tuple[tuple[str, str], ...], float]:
    found = (one for family in parse_text(text(state)) for one in family.samples)
    return {tuple(sorted(one.labels.items())): one.value for one in found if one.name == name}


def test_sem_24_every_family_is_there_at_the_first_scrape_with_its_type() -> None:
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text(MetricsState(["experiment"])), re.MULTILINE))
    wanted = {one.name + ("_total" if one.kind == "counter" else ""): one.kind for one in FAMILIES}
    assert types == wanted


def test_the_reference_lists_exactly_the_families_that_are_served() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|([^|]*)\|", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    documented = {
        name: (kind, "group" in labels, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows
    }
    served = {
        one.name + ("_total" if one.kind == "counter" else ""): (one.kind, one.grouped, one.labels)
        for one in FAMILIES
    }
    assert documented == served


def test_promtool_has_nothing_to_say_of_any_family() -> None:
    state = MetricsState(["experiment", "tags.a.b"])
    state.observe_fact(fact(group=["shop", HOSTILE[0]]), {"slow": "slow_response"})
    state.delivered("alertmanager", "retry", 1)
    state.quarantined("no_trace_id", 1)
    for family in FAMILIES:
        if family.kind in ("gauge", "summary"):
            labels = 2 * family.grouped + len(family.labels)
            state.set_gauge(family.name, {("0.5",) * labels: 1.0})
    exposition = text(state)
    assert {line.split()[2] for line in exposition.splitlines() if line.startswith("# TYPE")} >= {
        one.name for one in FAMILIES if one.kind != "counter"
    }
    checked = subprocess.run(
        [needs("promtool"), "check", "metrics"], input=exposition, capture_output=True, text=True
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
    list(parse_openmetrics(generate_openmetrics(state.registry()).decode()))


def test_sem_24_counters_move_with_new_traces_alone() -> None:
    state = MetricsState(["experiment"])
    state.observe_fact(fact(), {"slow": "slow_response"})
    state.observe_fact(
        fact(trace_id="tr-2", state="ERROR", duration_us=None, tokens_input=None, cost_nusd=None, hits=[]), {}
    )
    state.add_totals({"late": 1, "duplicates": 2, "amended": 3, "backlog": 4})
    shop = ("experiment", "shop")
    assert samples(state, "tracesieve_traces_total") == {
        (shop, ("state", "OK")): 1,
        (shop, ("state", "ERROR")): 1,
    }
    assert samples(state, "tracesieve_trace_duration_seconds_count") == {(shop,): 1}
    assert samples(state, "tracesieve_tokens_total") == {
        (shop, ("type", "input")): 10,
        (shop, ("type", "output")): 10,
    }
    assert samples(state, "tracesieve_cost_usd_total") == {(shop,): 2}
    assert samples(state, "tracesieve_rule_matches_total") == {
        (("category", "slow_response"), ("rule", "slow")): 1
    }
    assert [
        samples(state, f"tracesieve_{name}_traces_total")[()]
        for name in ("late", "duplicate", "amended", "backfilled")
    ] == [
        1,
        2,
        3,
        4,
    ]


def test_sem_24_what_is_expected_is_served_from_zero_and_not_set_back() -> None:
    state = MetricsState(["experiment"])
    state.observe_fact(fact(), {"slow": "slow_response"})
    before = samples(state, "tracesieve_traces_total")
    state.expect([["shop"], ["new"]], {"slow": "slow_response", "other": ""})
    new = ("experiment", "new")
    assert samples(state, "tracesieve_traces_total") == before | {
        (("experiment", "shop"), ("state", "ERROR")): 0,
        (new, ("state", "OK")): 0,
        (new, ("state", "ERROR")): 0,
    }
    assert samples(state, "tracesieve_trace_duration_seconds_count")[(new,)] == 0
    assert sorted(samples(state, "tracesieve_rule_matches_total").values()) == [0, 1]


def test_a_histogram_is_cumulative_and_carries_trace_ids_as_exemplars() -> None:
    state = MetricsState(["experiment"])
    for number, seconds in enumerate((0.05, 1.5, 1.6, 10_000)):
        state.observe_fact(fact(trace_id=f"tr-{number}", duration_us=int(seconds * 1e6)), {})
    state.observe_fact(fact(trace_id="t" * 200, duration_us=300_000_000), {})  # too long for an exemplar
    buckets = samples(state, "tracesieve_trace_duration_seconds_bucket")
    by_bound = {dict(key)["le"]: value for key, value in buckets.items()}
    assert [by_bound[str(bound)] for bound in (0.1, 0.8, 1.6, 204.8, 409.6)] == [1, 1, 3, 3, 4]
    assert by_bound["+Inf"] == 5
    assert len(by_bound) == len(BUCKETS_S) + 1
    parsed = parse_openmetrics(generate_openmetrics(state.registry()).decode())
    exemplars = [
        one.exemplar.labels["trace_id"] for family in parsed for one in family.samples if one.exemplar
    ]
    assert exemplars == ["tr-0", "tr-2", "tr-3"]


def test_the_ends_of_the_buckets_are_those_of_the_config() -> None:
    state = MetricsState(["experiment"], buckets_s=(1, 2.5, 3600.0))
    state.expect([["shop"]], {})
    for seconds in (0.2, 1, 2.500001, 3600, 4000):
        state.observe_fact(fact(duration_us=int(seconds * 1e6)), {})
    buckets = samples(state, "tracesieve_trace_duration_seconds_bucket")
    assert {dict(key)["le"]: value for key, value in buckets.items()} == {
        "1.0": 2,
        "2.5": 2,
        "3600.0": 4,
        "+Inf": 5,
    }


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ([], "1 to 100 bounds in seconds are expected, not 0"),
        ([1, 2, 2], "each bound must be more than the one before: 2 follows 2"),
        ([0, 1], "seconds above 0 are expected"),
        ([1, float("inf")], "seconds above 0 are expected"),
        ([1, float("nan")], "seconds above 0 are expected"),
        ([0.1 * n for n in range(1, 102)], "1 to 100 bounds"),
    ],
)
def test_ends_of_buckets_that_are_none_are_refused(bounds: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MetricsConfig(buckets_s=bounds)


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_values_break_no_exposition(value: str) -> None:
    state = MetricsState(["experiment", "tags.a.b"])
    state.observe_fact(fact(group=["shop", value], trace_id=value), {})
    state.set_gauge("tracesieve_window_error_ratio", {state.capped(["shop", value]): 0.5})
    found = samples(state, "tracesieve_window_error_ratio")
    (key,) = found
    assert found[key] == 0.5
    label = dict(key)["tags_a_b"]
    assert len(label) <= 128
    assert label == value[:128].encode("utf-8", "replace").decode()
    for family in parse_openmetrics(generate_openmetrics(state.registry()).decode()):
        assert family.name in {one.name for one in FAMILIES}
    with pytest.raises(KeyError):
        state.set_gauge("tracesieve_traces", {})


def test_sem_24_past_its_cap_a_label_overflows_and_the_others_do_not() -> None:
    state = MetricsState(["experiment", "model"], max_values=3)
    for number in range(10):
        state.observe_fact(fact(group=["shop", f"m{number}"]), {})
    counts = samples(state, "tracesieve_traces_total")
    assert {dict(key)["model"]: value for key, value in counts.items()} == {
        "m0": 1,
        "m1": 1,
        "m2": 1,
        OVERFLOW: 7,
    }
    assert {dict(key)["experiment"] for key in counts} == {"shop"}
    assert samples(state, "tracesieve_label_overflow") == {
        (("label", "experiment"),): 0,
        (("label", "model"),): 7,
    }
    state.observe_fact(fact(group=["shop", "m0"]), {})
    assert samples(state, "tracesieve_label_overflow")[(("label", "model"),)] == 7
