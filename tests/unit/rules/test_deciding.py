"""Which comparison of a condition decides, and so which traces are evidence and which value is shown."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest

from rules.alerting.deciding import candidates, deciding_values
from rules.alerting.evidence import EvidenceChoice, FactColumn, FactFilter
from rules.alerting.histogram import bucket_index, bucket_value_us
from rules.alerting.sums import Window
from rules.alerting.windows import GivenWindows
from rules.dialect import compile_condition
from rules.kinds.window import WindowRule
from rules.matcher import measured
from rules.rule_set import build, parse_rule
from rules.units import MINUTE_US as MINUTE

AT = 100 * MINUTE
FAILED = EvidenceChoice(5 * MINUTE, "end_us", True, (FactFilter("error", "=", True),))
GOOD = EvidenceChoice(5 * MINUTE, "end_us", True, (FactFilter("error", "=", False),))
SLOWEST = EvidenceChoice(5 * MINUTE, "duration_us", True)
FASTEST = EvidenceChoice(5 * MINUTE, "duration_us", False)
MOST_TOKENS = EvidenceChoice(5 * MINUTE, "tokens_total", True)
DEAREST = EvidenceChoice(5 * MINUTE, "cost_nusd", True)


def beyond(ms: float, op: Any = ">", choice: EvidenceChoice = SLOWEST) -> EvidenceChoice:
    """Those beyond a bound, the furthest first."""
    return EvidenceChoice(
        5 * MINUTE, "duration_us", choice.largest_first, (FactFilter("duration_us", op, ms * 1000),)
    )


def rule(fire: str, **changes: Any) -> WindowRule:
    built = build(parse_rule({"id": "r", "window": {"size": "5m"}, "fire": fire, **changes}))
    assert isinstance(built, WindowRule)
    return built


def window(traces: int = 10, errors: int = 0, ms: float = 1000, tokens: int = 0, usd: float = 0) -> Window:
    """A window in which every trace takes as long."""
    bucket = int(bucket_index(np.array([int(ms * 1000)]))[0])
    return Window(traces, errors, {bucket: traces}, tokens, traces, int(usd * 1e9), traces)


def chosen(fire: str, given: Window) -> EvidenceChoice:
    one = rule(fire)
    windows = GivenWindows({AT: given})
    assert one.evaluate(windows, range(AT, AT + 1))[AT].fires, "the window is one in which the rule fires"
    return one.choose_evidence(windows, AT)


SLOW, BROKEN = window(ms=9000), window(errors=8)


CACHED = replace(
    window(),
    tokens_input=500,
    tokens_input_known=10,
    tokens_cache_read=50,
    tokens_cache_read_known=10,
    tokens_cache_write=100,
    tokens_cache_write_known=10,
)


def most_of(kind: str, *, large: bool = True) -> EvidenceChoice:
    return EvidenceChoice(5 * MINUTE, cast(FactColumn, f"tokens_{kind}"), large)


@pytest.mark.parametrize(
    ("fire", "given", "expected"),
    [
        # one comparison
        ("error_rate > 0.1", BROKEN, FAILED),
        ("errors >= 5", BROKEN, FAILED),
        ("p95_ms > 8000", SLOW, beyond(8000)),
        ("p50_ms >= 8000", SLOW, beyond(8000, ">=")),
        ("8000 < p99_ms", SLOW, beyond(8000)),
        ("tokens > 100", window(tokens=500), MOST_TOKENS),
        ("cost_usd > 1", window(usd=2), DEAREST),
        ("traces > 5", window(), SLOWEST),
        # what only narrows it down does not decide, wherever it stands
        ("p95_ms > 8000 AND error_rate < 0.5", SLOW, beyond(8000)),
        ("error_rate < 0.5 AND p95_ms > 8000", SLOW, beyond(8000)),
        ("p95_ms > 8000 AND NOT error_rate >= 0.5", SLOW, beyond(8000)),
        ("p95_ms > 8000 AND errors = 0", SLOW, beyond(8000)),
        ("traces > 5 AND error_rate > 0.1", BROKEN, FAILED),
        ("error_rate > 0.1 AND p95_ms < 8000", BROKEN, FAILED),
        ("cost_usd > 1 AND error_rate <= 0.5 AND p95_ms < 8000", window(usd=2), DEAREST),
        ("tokens > 100 AND cost_usd < 1", window(tokens=500), MOST_TOKENS),
        # of several that say what went wrong, the first
        ("error_rate > 0.1 AND p95_ms > 8000", window(errors=8, ms=9000), FAILED),
        ("p95_ms > 8000 AND error_rate > 0.1", window(errors=8, ms=9000), beyond(8000)),
        # of an OR the part that holds
        ("error_rate > 0.1 OR p95_ms > 8000", SLOW, beyond(8000)),
        ("error_rate > 0.1 OR p95_ms > 8000", BROKEN, FAILED),
        ("p95_ms > 8000 OR error_rate > 0.1", BROKEN, FAILED),
        ("error_rate > 0.1 OR p95_ms > 8000", window(errors=8, ms=9000), FAILED),
        ("(error_rate > 0.1 AND traces > 100) OR p95_ms > 8000", window(errors=8, ms=9000), beyond(8000)),
        ("traces > 5 AND (error_rate > 0.1 OR cost_usd > 1)", window(usd=2), DEAREST),
        ("NOT (error_rate <= 0.1 AND p95_ms <= 8000)", SLOW, beyond(8000)),
        ("NOT (error_rate <= 0.1 AND p95_ms <= 8000)", BROKEN, FAILED),
        ("p95_ms < 10 OR error_rate > 0.1", window(ms=1), beyond(10, "<", FASTEST)),
        ("error_rate > 0.1 OR p50_ms > 20000 OR p95_ms > 8000", SLOW, beyond(8000)),
        # arithmetic
        ("errors / traces > 0.1", BROKEN, FAILED),
        ("cost_usd / traces > 0.1 AND error_rate < 0.5", window(usd=2), DEAREST),
        ("p95_ms / 1000 > 8", SLOW, beyond(8000)),
        ("p95_ms * 2 > 16000", SLOW, beyond(8000)),
        ("-2 * p95_ms < -16000", SLOW, beyond(8000)),
        ("p95_ms + 1000 > 9000", SLOW, beyond(8000)),
        ("10000 - p95_ms < 2000", SLOW, beyond(8000)),
        ("traces - errors < 5", BROKEN, FAILED),
        # BETWEEN, IN, equality, IS NULL
        ("p95_ms BETWEEN 8000 AND 20000", SLOW, beyond(8000, ">=")),
        ("error_rate = 1", window(errors=10), FAILED),
        ("errors IN (8, 9)", BROKEN, FAILED),
        ("errors <> 0", BROKEN, FAILED),
        ("cost_usd IS NULL", Window(3, 0, {}), EvidenceChoice(5 * MINUTE, "cost_nusd", False)),
        # nothing that demands much: what is small
        ("p95_ms < 10", window(ms=1), beyond(10, "<", FASTEST)),
        ("error_rate < 0.01", window(), GOOD),
        ("error_rate = 0", window(), GOOD),
        ("tokens < 5", window(), EvidenceChoice(5 * MINUTE, "tokens_total", False)),
        ("traces < 50", window(), SLOWEST),
        # tokens by kind
        ("tokens.input > 100", replace(window(), tokens_input=500, tokens_input_known=1), most_of("input")),
        ("tokens.cache_write > 9", CACHED, most_of("cache_write")),
        ("tokens.cache_read < 60", CACHED, most_of("cache_read", large=False)),
        ("tokens.cache_read / tokens.input < 0.2", CACHED, most_of("input")),
    ],
)
def test_sem_17_evidence_is_of_the_comparison_that_decides(
    fire: str, given: Window, expected: EvidenceChoice
) -> None:
    assert chosen(fire, given) == expected


def test_sem_17_a_bound_may_be_another_measure() -> None:
    slow, fast = (int(i) for i in bucket_index(np.array([9_000_000, 1_000_000])))
    given = Window(10, 0, {fast: 6, slow: 4})
    median_us = bucket_value_us(fast)
    (only,) = chosen("p95_ms > 2 * p50_ms", given).filters
    assert (only.column, only.op, only.value) == ("duration_us", ">", pytest.approx(2 * median_us))
    (only,) = chosen("p95_ms - p50_ms > 3000", given).filters
    assert only.value == pytest.approx(median_us + 3_000_000)


def test_sem_17_a_where_chooses_among_its_own_traces() -> None:
    one = rule("error_rate > 0.1", where="tags.a = 'b'")
    assert one.choose_evidence(GivenWindows({AT: BROKEN}), AT).hit == one.hash
    assert rule("error_rate > 0.1").choose_evidence(GivenWindows({AT: BROKEN}), AT).hit == ""


@pytest.mark.parametrize(
    ("fire", "given", "value"),
    [
        ("error_rate < 0.5 AND p95_ms > 8000", SLOW, 9000),
        ("traces > 5 AND error_rate > 0.1", BROKEN, 0.8),
        ("error_rate > 0.1 OR p95_ms > 8000", SLOW, 9000),
        ("error_rate > 0.1 OR p95_ms > 8000", BROKEN, 0.8),
        ("error_rate > 0.1 OR p95_ms > 8000", window(errors=1), 0.1),  # it does not fire: the first
    ],
)
def test_the_value_is_that_of_the_comparison_that_decides(fire: str, given: Window, value: float) -> None:
    found = rule(fire).evaluate(GivenWindows({AT: given}), range(AT, AT + 1))[AT].value
    assert found == pytest.approx(value, rel=0.0056)


def test_values_of_many_windows_are_those_of_each_alone() -> None:
    condition = compile_condition("(error_rate > 0.1 AND traces > 5) OR cost_usd > 1", kind="measure")
    measures = {
        "traces": np.array([10.0, 10, 3, 3]),
        "error_rate": np.array([0.5, 0, 0.5, 0.5]),
        "cost_usd": np.array([2.0, 2, 2, np.nan]),
    }
    windows = measured(measures, 4)
    fires = windows.where(condition.node, True, "measure")
    choices = candidates(condition.node)
    assert [one.measure for one in choices] == ["error_rate", "cost_usd", "traces"]
    assert deciding_values(choices, windows, measures, fires).tolist() == [0.5, 2, 2, 0.5]
