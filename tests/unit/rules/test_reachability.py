"""Conditions of window rules that no window can satisfy, given all that the rule says, are errors; and what
is reported is true for no window.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.dialect import compile_condition
from rules.dialect.ranges import Range
from rules.dialect.reachability import Given, never_holds
from rules.errors import ConditionError
from rules.loading.packs import load_packs
from rules.matcher import measured

HEAD = "version: 1\nrules:\n  - id: w\n    window: {size: 5m, by: [experiment]}\n"


def reported(tmp_path: Path, text: str) -> list[tuple[str, str]]:
    file = tmp_path / "r.yaml"
    file.write_text(HEAD + "".join(f"    {line}\n" for line in text.split("; ")))
    found = [one for one in load_packs([file], ("experiment",)).diagnostics if one.code == "never-true"]
    return [(one.severity, one.message) for one in found]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("fire: traces = 0", "`traces` satisfies it: a window without traces is not evaluated"),
        ("fire: traces < 1", "a window without traces"),
        ("fire: traces < 20; min_traces: 20", "a window counts from 20 traces on (`min_traces`)"),
        ("fire: traces > 5 AND traces < 6", "its parts exclude each other"),
        ("fire: traces = 2.5", "`traces` satisfies it"),
        ("fire: errors > traces", "no more traces fail than there are"),
        ("fire: errors > 5 AND traces < 5", "no more traces fail than there are"),
        ("fire: errors / traces > 1", "no more traces fail"),
        ("fire: errors > 0 AND error_rate = 0", "`error_rate` is `errors` / `traces`"),
        ("fire: error_rate > 0 AND error_rate < 0.05 AND traces < 20", "`error_rate` is `errors` / `traces`"),
        ("fire: error_rate < 0.5 AND errors >= 10 AND traces <= 19", "`error_rate` is"),
        ("fire: 1 - error_rate > 1", "it lies between 0 and 1"),
        ("fire: error_rate * 100 > 100", "it lies between 0 and 1"),
        ("fire: error_rate IS NULL", "`error_rate` satisfies it"),
        ("fire: p95_ms > p99_ms", "`p50_ms` is at most `p95_ms`"),
        ("fire: p99_ms < 100 AND p50_ms > 200", "`p50_ms` is at most `p95_ms`"),
        ("fire: p95_ms IS NULL AND p50_ms > 5", "`p50_ms` is at most `p95_ms`"),
        ("fire: cost_usd + 1 < 1", "`cost_usd` satisfies it"),
        ("fire: traces = 0 OR error_rate > 1", ""),
        ("fire: error_rate > 0.5; where: status = 'OK'", "`where` counts no failed traces"),
        ("fire: error_rate < 1; where: status = 'ERROR' AND name = 'a'", "`where` counts only failed traces"),
        ("fire: p95_ms > 8000; where: execution_time_ms < 1000", "`where` leaves other durations out"),
        ("fire: error_rate > 0.1; clear: traces < 5; min_traces: 10", "`clear` can never hold"),
        ("fire: error_rate > 0.1; clear: error_rate < 0", ""),
    ],
)
def test_sem_29_a_condition_that_no_window_satisfies_is_an_error(
    tmp_path: Path, text: str, reason: str
) -> None:
    found = reported(tmp_path, text)
    assert [severity for severity, _ in found] == ["error"]
    assert reason in found[0][1], found


@pytest.mark.parametrize(
    "text",
    [
        "fire: traces < 20",
        "fire: traces >= 20; min_traces: 20",
        "fire: traces = 20; min_traces: 20",
        "fire: errors = traces",
        "fire: errors > 0 AND error_rate < 0.05",
        "fire: error_rate > 0 AND error_rate < 0.05 AND traces < 22",
        "fire: error_rate >= 1",
        "fire: p50_ms = p99_ms AND p95_ms = 0",
        "fire: p95_ms IS NULL",
        "fire: tokens IS NULL AND cost_usd IS NULL",
        "fire: coalesce(p95_ms, 0) = 0 AND p99_ms IS NULL",
        "fire: p99_ms > 2 * p50_ms",
        "fire: error_rate = 0; where: status = 'OK'",
        "fire: error_rate < 1; where: status <> 'OK'",
        "fire: p95_ms > 8000; where: execution_time_ms < 8000 OR name = 'a'",
        "fire: p95_ms > 8000; where: execution_time_ms <= 8000",
        "fire: error_rate > 0.1; clear: error_rate < 0.1 OR traces < 5; min_traces: 10",
    ],
)
def test_what_some_window_satisfies_is_not_reported(tmp_path: Path, text: str) -> None:
    assert reported(tmp_path, text) == []


def test_faults_of_other_keys_do_not_hide_it(tmp_path: Path) -> None:
    assert reported(tmp_path, "fire: traces = 0; min_traces: many; where: nope = 1") != []


TERM = st.one_of(
    st.builds(
        "{} {} {}".format,
        st.sampled_from(["traces", "errors", "tokens"]),
        st.sampled_from(["=", "<>", "<", "<=", ">", ">="]),
        st.sampled_from(["0", "1", "2", "2.5", "5", "traces", "errors", "errors + 1", "traces - 1"]),
    ),
    st.builds(
        "{} {} {}".format,
        st.sampled_from(["error_rate", "errors / traces", "1 - error_rate"]),
        st.sampled_from(["=", "<>", "<", "<=", ">", ">="]),
        st.sampled_from(["0", "0.2", "0.5", "1", "error_rate", "errors"]),
    ),
    st.builds(
        "{} {} {}".format,
        st.sampled_from(["p50_ms", "p95_ms", "p99_ms", "cost_usd", "2 * p50_ms", "coalesce(p95_ms, 1)"]),
        st.sampled_from(["=", "<>", "<", "<=", ">", ">="]),
        st.sampled_from(["0", "1", "5", "p50_ms", "p95_ms", "p99_ms"]),
    ),
    st.sampled_from(["p95_ms IS NULL", "p50_ms IS NOT NULL", "tokens IS NULL", "traces IS NOT NULL"]),
)
CONDITION = st.recursive(
    TERM,
    lambda sub: st.builds(
        str.format, st.sampled_from(["({} AND {})", "({} OR {})", "({} AND NOT {})"]), sub, sub
    ),
    max_leaves=5,
)


def _windows(at_least: int) -> dict[str, np.ndarray]:
    """Many windows: every small number of traces and errors, with quantiles that may be null."""
    r = np.random.default_rng(5)
    pairs = [(n, e) for n in range(at_least, 9) for e in range(n + 1)]
    rows = np.array(pairs * 40, dtype=np.float64)
    size = len(rows)
    quantiles = np.sort(r.choice([0.0, 1.0, 3.0, 5.0, 7.0], (size, 3)), axis=1)
    quantiles[r.random(size) < 0.2] = np.nan
    return {
        "traces": rows[:, 0],
        "errors": rows[:, 1],
        "error_rate": rows[:, 1] / rows[:, 0],
        "tokens": r.choice([np.nan, 0, 1, 2, 5, 9], size),
        "cost_usd": r.choice([np.nan, 0, 0.5, 1, 5, 7], size),
        **{name: quantiles[:, i] for i, name in enumerate(("p50_ms", "p95_ms", "p99_ms"))},
    }


WINDOWS = {least: measured(_windows(least), len(_windows(least)["traces"])) for least in (1, 3)}


@settings(max_examples=400, deadline=None)
@given(CONDITION, st.sampled_from([1, 3]))
def test_what_is_reported_holds_for_no_window(text: str, least: int) -> None:
    try:
        node = compile_condition(text, kind="measure").node
    except ConditionError:
        return
    holds = WINDOWS[least].where(node, True, "measure").any()
    assert not (holds and never_holds(node, Given(least))), text


def test_ranges_touch_where_both_ends_belong_to_them() -> None:
    assert not Range(0, 1).within(Range(1, 2)).empty
    assert Range(0, 1, high_open=True).within(Range(1, 2)).empty
    assert Range(0.5, 3.5).whole() == Range(1, 3) and Range(1, 3, True, True).whole() == Range(2, 2)
