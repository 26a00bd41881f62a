"""Error patterns of a range: counts, history, merging, amendments."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from support.made_facts import MINUTE, T0, fact

from rules.failures import fingerprint, masked
from store import Store, open_store
from tracesieve.analysis.error_patterns import error_patterns, failures_until, has_history
from tracesieve.analysis.report import report
from tracesieve.analysis.report_steps import steps_of
from tracesieve.analysis.report_text import patterns
from tracesieve.json_output import iso


def failed(trace_id: str, minute: int, message: str, *, error_type: str = "", **more: Any) -> dict[str, Any]:
    import pyarrow as pa

    failure = {
        "span_type": "TOOL",
        "span_name": more.pop("span", "search"),
        "error_type": error_type,
        "message": message,
        "pattern": fingerprint(error_type, masked(pa.array([message])).to_pylist()[0]),
        "handled": more.pop("handled", False),
    }
    return fact(trace_id, minute, error=not failure["handled"], failure=json.dumps(failure), **more)


def write(store: Store, *rows: dict[str, Any]) -> None:
    store.table("facts").append([{**row, "stream_id": "s", "batch_id": n} for n, row in enumerate(rows)])


def of(store: Store, low: int, high: int, errors: int = 0) -> dict[str, Any]:
    from_us, to_us = T0 + low * MINUTE, T0 + high * MINUTE
    steps = steps_of(from_us, to_us)
    failures = failures_until(store, to_us)
    inside = failures.filter(pl.col("end_us") >= from_us).with_columns(steps.column())
    return error_patterns(failures, inside, steps, errors, history=has_history(store, from_us))


def test_alike_failures_are_one_row_with_its_counts(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    write(
        store,
        fact("early", 0),
        *[failed(f"a{n}", 10 + n, f"no user {n}", span=f"s{n % 2 and 1}") for n in range(5)],
        failed("h", 12, "no user 77", handled=True),
        failed("b", 11, "disk full"),
    )
    found = of(store, 10, 20, 6)
    assert found["failures"] == {"failed": 6, "handled": 1, "unknown": 0}
    users, disk = found["error_patterns"]
    assert (users["text"], users["traces"], users["handled"], users["variants"]) == ("no user *", 6, 1, 1)
    assert users["share"] == pytest.approx(6 / 7)
    assert users["span_name"] == "s0"
    assert users["samples"] == ["a4", "a3", "h"]
    assert users["last_seen"] == iso(T0 + 14 * MINUTE + 1)
    assert (disk["text"], disk["traces"], disk["state"]) == ("disk full", 1, "new")


@pytest.mark.parametrize(
    ("seen", "state", "before"),
    [((), "new", 0), ((15,), "ongoing", 1), ((3,), "back", 0), ((3, 12, 19), "ongoing", 2)],
)
def test_the_state_comes_from_what_was_before(
    tmp_path: Path, seen: tuple[int, ...], state: str, before: int
) -> None:
    store = open_store(str(tmp_path))
    write(store, fact("x", 0), failed("now", 25, "boom"), *[failed(f"t{at}", at, "boom") for at in seen])
    (row,) = of(store, 20, 30)["error_patterns"]
    assert (row["state"], row["traces_before"]) == (state, before)
    assert row["first_seen"] == iso(T0 + min((*seen, 25)) * MINUTE + 1)


def test_without_facts_before_the_range_nothing_is_called_new(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    write(store, failed("now", 25, "boom"))
    (row,) = of(store, 20, 30)["error_patterns"]
    assert (row["state"], row["traces_before"]) == (None, None)


def test_variants_are_merged_under_the_one_that_was_first(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    tools = ("mail", "search", "crm", "billing", "weather", "maps")
    rows = [failed(name, 10 + at, f"tool {name} is not registered") for at, name in enumerate(tools)]
    other = [failed("k", 12, "tool mail is not registered", error_type="KeyError")]
    write(store, fact("x", 0), *random.Random(3).sample([*rows, *other], 7))
    merged, apart = of(store, 10, 30)["error_patterns"]
    assert (merged["text"], merged["traces"], merged["variants"]) == ("tool * is not registered", 6, 6)
    assert merged["pattern"] == fingerprint("", "tool mail is not registered")
    assert (apart["error_type"], apart["traces"]) == ("KeyError", 1)


def test_a_failure_that_was_withdrawn_is_gone(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    old = failed("a", 10, "boom")
    write(store, old, {**old, "weight": -1}, fact("a", 10, content_hash=2))
    assert of(store, 0, 30) == {
        "error_patterns": [],
        "failures": {"failed": 0, "handled": 0, "unknown": 0},
    }


def test_traces_of_an_older_version_are_counted_as_unknown_and_filled_later(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    old = fact("a", 10, error=True)
    write(store, old)
    found = of(store, 0, 30, 1)
    assert found["failures"]["unknown"] == 1
    assert "tracesieve apply" in "\n".join(patterns(found))
    write(store, {**old, "weight": -1}, failed("a", 10, "boom"))
    found = of(store, 0, 30, 1)
    assert found["failures"] == {"failed": 1, "handled": 0, "unknown": 0}


def test_what_a_person_sees_fits_and_is_harmless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    store = open_store(str(tmp_path))
    hostile = "\x1b[2J\u202e evil " + "long " * 80
    write(store, fact("x", 0), failed("a", 10, hostile, span="\x1b[31m" + "n" * 120), failed("b", 11, ""))
    shown = list(patterns(of(store, 5, 30)))
    assert shown[0] == "failures: 2"
    assert all(len(line) <= 80 and line.isprintable() for text in shown for line in text.split("\n"))
    assert any("(no message)" in line for line in shown)


def test_a_sample_has_the_message_of_its_failure_where_its_spans_have_none(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    write(store, failed("a", 10, "model is down"), fact("b", 9, error=True))
    document = report(store, T0, T0 + 60 * MINUTE, [], T0 + 60 * MINUTE)
    assert [(one["trace_id"], one["error"]) for one in document["error_samples"]] == [
        ("a", "model is down"),
        ("b", None),
    ]
