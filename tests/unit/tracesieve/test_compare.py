"""``profile --compare``: two ranges and two versions, from facts and from the trace table; its words."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from deltalake import DeltaTable
from rich.cells import cell_len
from support.counted_traces import count

from rules.units import iso_time
from store import open_store
from tracesieve.commands import profile
from tracesieve.errors import TracesieveError

T0 = 1_740_000_000_000_000
HOUR = 3_600_000_000
EVIL = "\x1b[2J[red]\u202e1.5"


def span(trace: int, place: int, kind: str, name: str, start: int, took: int, **more: Any) -> dict[str, Any]:
    usage = {"total_tokens": more["tokens"]} if "tokens" in more else {}
    return {
        "span_id": f"{trace:08x}{place:08x}",
        "parent_id": None if place == 0 else f"{trace:08x}{0:08x}",
        "name": name,
        "start_time": start,
        "end_time": start + took,
        "status_code": more.get("status", "OK"),
        "attributes": [
            ("mlflow.spanType", json.dumps(kind)),
            ("mlflow.chat.tokenUsage", json.dumps(usage)),
            ("mlflow.llm.cost", json.dumps({"total_cost": more["tokens"] / 1e6} if usage else {})),
        ],
        "events": [],
    }


def trace(r: random.Random, number: int, *, new: bool, **changes: Any) -> dict[str, Any]:
    """New ones search twice as long, their tool fails, their model uses half as many tokens again."""
    start = T0 + number * 60_000_000
    search = int(r.lognormvariate(13, 0.4) * (2 if new else 1))
    status = "ERROR" if r.random() < (0.3 if new else 0.02) else "OK"
    tokens = int(r.lognormvariate(7, 0.3) * (1.5 if new else 1))
    spans = [
        span(number, 0, "AGENT", "agent", start, search + 900_000),
        span(number, 1, "RETRIEVER", "search", start, search),
        span(number, 2, "TOOL", "lookup", start + search, 300_000, status=status),
        span(number, 3, "CHAT_MODEL", "answer", start + search + 300_000, 500_000, tokens=tokens),
        span(number, 4, "TOOL", "notify", start + search + 800_000, 10_000),
    ]
    return {
        "trace_id": f"t{number}",
        "experiment_id": "1",
        "experiment_name": "support",
        "request_time": start,
        "state": "OK",
        "execution_duration_ms": (search + 900_000) / 1000,
        "tags": [("environment", "canary" if new else "production"), ("release", EVIL if new else "1.4")],
        "trace_metadata": [("mlflow.modelId", "m-new" if new else "m-old")],
        "spans": spans,
        **changes,
    }


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> str:
    """120 old traces in the first two hours, 120 new in the next two; then ten without a release and one of
    another.
    """
    folder = tmp_path_factory.mktemp("compare")
    r = random.Random(3)
    rows = [trace(r, number, new=number >= 120) for number in range(240)]
    rows += [trace(r, 240 + number, new=False, tags=[("environment", "")]) for number in range(10)]
    rows.append(trace(r, 250, new=True, tags=[("release", "1.6")], trace_metadata=[]))
    count(open_store(str(folder / "st")), 0, rows)
    file = folder / "c.yaml"
    file.write_text(
        "source: {kind: delta_traces, table: st/traces}\nstore: st\ngroup_by: [experiment, environment]\n"
    )
    return str(file)


def run(config: str, *arguments: str, hours: tuple[float, float] = (0, 5)) -> Result:
    first, end = (iso_time(T0 + int(hour * HOUR)) for hour in hours)
    return CliRunner().invoke(profile.command, ["-c", config, "--from", first, "--to", end, *arguments])


def of(config: str, *arguments: str, hours: tuple[float, float] = (0, 5)) -> dict[str, Any]:
    result = run(config, "--json", *arguments, hours=hours)
    assert result.exit_code == 0, result.exception
    document: dict[str, Any] = json.loads(result.output)
    return document


def listed(document: dict[str, Any]) -> set[tuple[str, str]]:
    return {
        (row["words"], row["span_name"]) for row in document["changes"] if row["listed"] and row["span_name"]
    }


FOUND = {
    ("slower", "search"),
    ("slower P95", "search"),
    ("slower", "agent"),
    ("slower P95", "agent"),
    ("fails more", "lookup"),
    ("more tokens", "answer"),
    ("dearer", "answer"),
}


@pytest.mark.parametrize("with_", ["before", "2h", f"{iso_time(T0)}..{iso_time(T0 + 2 * HOUR)}"])
def test_two_ranges_are_compared_however_the_other_is_named(config: str, with_: str) -> None:
    found = of(config, "--compare", with_, hours=(2, 4))
    assert listed(found) == FOUND
    assert found["before"]["from"] == "2025-02-19T21:20:00.000000Z"
    assert (found["before"]["traces"], found["after"]["traces"], found["versions"]) == (120, 120, None)
    (row,) = [
        row for row in found["changes"] if (row["what"], row["span_name"]) == ("duration_p50", "search")
    ]
    assert row["certainty"] == "surely"
    assert row["interval"][0] < 1.0 < row["interval"][1]
    assert {row["scope"] for row in found["changes"]} == {"trace", "span_type", "span_name"}


@pytest.mark.parametrize(
    ("with_", "none"),
    [
        (f"tags.release=1.4,{EVIL}", 10),
        ("mlflow.modelId=m-old,m-new", 1),
        ("environment=production,canary", 11),
    ],
)
def test_two_versions_are_compared_and_traces_without_one_are_said(
    config: str, with_: str, none: int
) -> None:
    """A key of ``group_by`` is in the facts, the others are read from the trace table."""
    found = of(config, "--compare", with_)
    assert listed(found) >= FOUND
    versions = found["versions"]
    assert versions["share_without"] == pytest.approx(none / 251)
    sides = sum(found[side]["traces"] for side in ("before", "after"))
    assert sides + versions["other"] + versions["none"] == 251
    if with_.startswith("tags.release"):
        assert (versions["other"], found["after"]["version"]) == (1, EVIL)


def test_what_a_person_sees_is_a_table_that_fits_and_obeys_nobody(config: str) -> None:
    result = run(config, "--compare", f"tags.release=1.4,{EVIL}")
    assert result.exit_code == 0, result.exception
    lines = result.output.splitlines()
    assert [line for line in lines if cell_len(line) > 80] == []
    assert not {"\x1b", "\u202e"} & set(result.output)
    words = " ".join(result.output.split())
    assert "4.0% of the traces have no tags.release, traces of other versions: 1." in words
    row = next(line.split() for line in lines if line.startswith("fails more") and "lookup" in line)
    assert (row[2], row[-2:]) == ("lookup", ["points", "surely"])
    assert any(line.startswith("slower") and "(whole trace)" in line for line in lines)


def test_content_that_is_gone_is_a_trace_without_a_version(tmp_path: Path) -> None:
    r = random.Random(5)
    store = open_store(str(tmp_path / "st"))
    count(store, 0, [trace(r, number, new=number >= 15) for number in range(30)])
    DeltaTable(store.table("traces").uri).delete("trace_id IN ('t0', 't29')")
    config = tmp_path / "c.yaml"
    config.write_text("source: {kind: delta_traces, table: st/traces}\nstore: st\n")
    found = of(str(config), "--compare", "mlflow.modelId=m-old,m-new")
    assert found["versions"] == {
        "key": "metadata.mlflow.modelId",
        "other": 0,
        "none": 0,
        "content_gone": 2,
        "share_without": pytest.approx(2 / 30),
    }
    assert (found["before"]["traces"], found["after"]["traces"]) == (14, 14)


def test_where_and_group_leave_out_traces_of_both_sides(config: str) -> None:
    found = of(config, "--compare", "before", "--where", "execution_time_ms > 1500", hours=(2, 4))
    assert found["before"]["where"]["condition"] == "execution_time_ms > 1500"
    assert found["before"]["traces"] < found["after"]["traces"] <= 120
    assert (
        of(config, "--compare", "before", "--group", "environment=canary", hours=(2, 4))["before"]["traces"]
        == 0
    )


def test_a_range_keeps_what_a_condition_matches_and_has_a_line_for_each_group(config: str) -> None:
    found = of(config, "--where", "metadata.`mlflow.modelId` = 'm-new'", "--by", "environment")
    assert found["traces"] == 120
    assert found["where"] == {
        "condition": "metadata.`mlflow.modelId` = 'm-new'",
        "searched": 251,
        "matched": 120,
        "content_gone": 0,
    }
    (group,) = found["groups"]
    assert (group["group"], group["traces"]) == ({"environment": "canary"}, 120)
    assert group["most"]["span_name"] == "search"
    assert group["most"]["critical_share"] == found["by_span_name"][0]["critical_share"]
    groups = of(config, "--by", "experiment,environment")["groups"]
    assert [one["traces"] for one in groups] == [120, 120, 11]
    text = run(config, "--where", "state = 'OK'", "--by", "environment").output
    assert "251 of 251 traces match state = 'OK'" in text
    assert any(line.split()[:2] == ["production", "120"] for line in text.splitlines())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--compare", "yesterday"],
            "--compare yesterday: write `before` (the time as long just before), a duration",
        ),
        (["--compare", "2025-01-02..2025-01-01"], "2025-01-02 is not before 2025-01-01"),
        (["--compare", "tags.release=1.4"], "write two versions, the older first: tags.release=A,B"),
        (["--compare", "tags.release=1.4,1.4"], "the two versions are one"),
        (["--compare", "release=1,2"], "unknown group key 'release': use experiment"),
        (
            ["--compare", "mlflow.modelId=m-old,m-1"],
            "no trace of the range is of version m-1; there are: m-old (130 traces), m-new (120 traces)",
        ),
        (["--compare", "before", "--by", "environment"], "--by: not beside --compare"),
        (["--by", "model"], "--by model: use a key of group_by (experiment, environment)"),
        (["--where", "durations > 3"], "--where: unknown field"),
        (["t1", "--where", "state = 'OK'"], "--from, --to, --where: not beside TRACE_ID"),
    ],
)
def test_a_mistake_is_one_message_that_says_what_to_write(
    config: str, arguments: list[str], message: str
) -> None:
    result = run(config, *arguments)
    assert isinstance(result.exception, TracesieveError)
    assert message in " ".join(str(result.exception).split())
