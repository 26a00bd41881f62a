"""When an error pattern is open, resolved, back; that it keeps its name; with facts and no server."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from support.made_facts import T0, fact

import tracesieve.run.issues
from rules.failures import fingerprint, masked
from rules.units import DAY_US, HOUR_US, MINUTE_US
from sinks.mlflow.issues import MlflowIssues
from store import Store
from store.errors import StoreUnwritable
from store.outbox import OutboxMessage
from store.schemas import TRACES
from tracesieve.analysis.deliveries import listed, subject
from tracesieve.config.loading import load_settings
from tracesieve.config.settings import Settings
from tracesieve.run.issues import PatternFollower, pattern_follower
from tracesieve.run.parts import open_run

NOW = T0 + 100 * DAY_US
Row = dict[str, Any]


def failed(trace_id: str, ago_us: int, message: str = "no user 7", **more: Any) -> Row:
    end_us = NOW - ago_us
    failure = {
        "span_type": "TOOL",
        "span_name": "search",
        "error_type": "",
        "message": message,
        "pattern": pattern(message),
        "handled": more.pop("handled", False),
    }
    return fact(
        trace_id, 0, **{"failure": json.dumps(failure), "end_us": end_us, "arrived_us": end_us, **more}
    )


def pattern(message: str) -> str:
    return fingerprint("", masked(pa.array([message])).to_pylist()[0])


class Monitor:
    """A run of a store, its follower, and what that wrote."""

    def __init__(self, settings: Settings, stack: ExitStack) -> None:
        self.settings, self.stack = settings, stack
        self.run = open_run(settings, stack, dry_run=False, rebuild=False, now_us=NOW)
        self.again()

    @property
    def store(self) -> Store:
        return self.run.store

    def again(self) -> None:
        """A follower that remembers nothing, as after a restart."""
        follower = pattern_follower(self.run)
        assert follower is not None
        self.follower: PatternFollower = follower

    def count(self, *rows: Row) -> None:
        self.store.table("facts").append([{**row, "stream_id": "s", "batch_id": 0} for row in rows])

    def decide(self, later_us: int = 0) -> dict[str, Row]:
        """What is written ``later_us`` after NOW, by target; a repeat after a restart writes nothing."""
        before = self.store.table("outbox").read()
        number = self.follower.decide(NOW + later_us)
        self.again()
        assert self.follower.decide(NOW + later_us) == 0
        rows = self.store.table("outbox").read().filter(pl.col("seq") >= before.height)
        assert rows.height == number
        return {row["target"]: json.loads(row["payload"]) for row in rows.to_dicts()}


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], Settings]:
    """The settings of a config with these keys below ``mlflow``."""
    DeltaTable.create(str(tmp_path / "traces"), TRACES.remove(TRACES.get_field_index("landed_us")))

    def write(keys: str) -> Settings:
        file = tmp_path / "tracesieve.yaml"
        file.write_text(
            "source: {kind: delta_traces, table: traces}\nstore: st\ndatasets: false\n"
            f"mlflow: {{tracking_uri: 'http://127.0.0.1:9', tags: false{keys}}}\n"
        )
        return load_settings(file)

    return write


@pytest.fixture
def monitor(written: Callable[[str], Settings]) -> Any:
    with ExitStack() as stack:
        yield Monitor(written(", issues: true"), stack)


def three(ago_us: int, message: str = "no user 7", name: str = "t", **more: Any) -> list[Row]:
    return [failed(f"{name}{n}", ago_us - n, message, **more) for n in range(3)]


def test_three_traces_in_a_day_open_it_once_in_each_experiment(monitor: Monitor) -> None:
    own = pattern("no user 7")
    monitor.count(*three(HOUR_US), *three(HOUR_US, name="x", experiment_id="2"))
    monitor.count(failed("two", HOUR_US, "disk full"), failed("more", HOUR_US, "disk full"))
    monitor.count(*three(DAY_US + 10, "long ago"), failed("h", 2 * HOUR_US, "no user 8", handled=True))
    found = monitor.decide()
    assert set(found) == {f"1/{own}", f"2/{own}"}
    one = found[f"1/{own}"]
    assert {key: one[key] for key in ("status", "pattern", "text", "span_name", "traces", "recent")} == {
        "status": "open",
        "pattern": own,
        "text": "no user *",
        "span_name": "search",
        "traces": 4,
        "recent": 4,
    }
    assert (one["handled"], one["samples"], one["back_us"]) == (1, ["t2", "t1", "t0"], None)
    assert (one["first_us"], one["last_us"]) == (NOW - 2 * HOUR_US, NOW - HOUR_US + 2)
    assert monitor.decide(DAY_US) == {}


def test_a_pattern_that_is_withdrawn_by_amendments_opens_nothing(monitor: Monitor) -> None:
    rows = three(HOUR_US)
    monitor.count(*rows, *[{**row, "weight": -1} for row in rows[:1]])
    assert monitor.decide() == {}


def test_its_counts_are_told_again_at_most_once_an_hour(monitor: Monitor) -> None:
    monitor.count(*three(HOUR_US))
    (target,) = monitor.decide()
    monitor.count(failed("new", -MINUTE_US))
    assert monitor.decide(2 * MINUTE_US) == {}
    told = monitor.decide(HOUR_US)[target]
    assert (told["traces"], told["last_us"], told["samples"]) == (4, NOW + MINUTE_US, ["t2", "t1", "t0"])


def test_silence_resolves_it_while_others_come_and_what_comes_again_is_back(monitor: Monitor) -> None:
    monitor.count(*three(0))
    (target,) = monitor.decide(1_000)
    silent_us = NOW + 2
    assert monitor.decide(5 * DAY_US) == {}  # nothing at all came: the source may be down
    monitor.count(failed("other", -3 * DAY_US, "disk full", experiment_id="2"))
    assert monitor.decide(5 * DAY_US) == {}
    monitor.count(fact("fine", 0, end_us=silent_us + 3 * DAY_US - 1))
    assert monitor.decide(5 * DAY_US) == {}
    monitor.count(fact("fine2", 0, end_us=silent_us + 3 * DAY_US))
    resolved = monitor.decide(5 * DAY_US)[target]
    assert (resolved["status"], resolved["last_us"], resolved["recent"]) == ("resolved", silent_us, 0)
    monitor.count(failed("n0", -6 * DAY_US), failed("n1", -6 * DAY_US - 1))
    assert monitor.decide(7 * DAY_US) == {}
    monitor.count(failed("n2", -6 * DAY_US - HOUR_US))
    back = monitor.decide(7 * DAY_US - 1)[target]
    assert (back["status"], back["back_us"], back["silent_us"]) == ("open", NOW + 6 * DAY_US, silent_us)
    assert (back["samples"], back["first_us"]) == (["n2", "n1", "n0"], NOW)


def test_it_keeps_the_name_that_was_first_while_variants_come_and_the_first_expires(monitor: Monitor) -> None:
    first = pattern("user anna of tenant gone")
    monitor.count(*three(HOUR_US, "user anna of tenant gone"))
    assert set(monitor.decide()) == {f"1/{first}"}
    for n, name in enumerate(["bert", "cleo", "dora", "emil"]):
        monitor.count(failed(f"v{n}", -MINUTE_US - n, f"user {name} of tenant gone"))
    told = monitor.decide(HOUR_US)
    assert list(told) == [f"1/{first}"]
    assert (told[f"1/{first}"]["text"], len(told[f"1/{first}"]["variants"])) == ("user * of tenant gone", 5)
    monitor.store.table("facts").append(
        [
            {**row, "weight": -1, "stream_id": "s", "batch_id": 1}
            for row in three(HOUR_US, "user anna of tenant gone")
        ]
    )  # gone, as if expired: the others are no longer merged, and are its variants all the same
    monitor.count(*[failed(f"w{n}", -3 * HOUR_US - n, "user bert of tenant gone") for n in range(3)])
    told = monitor.decide(4 * HOUR_US)
    assert list(told) == [f"1/{first}"]
    assert (told[f"1/{first}"]["traces"], told[f"1/{first}"]["pattern"]) == (7, first)


def test_what_undo_took_back_opens_again_only_by_what_happens_now(monitor: Monitor) -> None:
    monitor.count(*three(HOUR_US))
    (target,) = monitor.decide()
    monitor.run.outbox.enqueue([OutboxMessage("mlflow_issues", target, MlflowIssues.withdrawal(target))], NOW)
    monitor.again()
    assert monitor.decide(DAY_US) == {}
    monitor.count(*three(-DAY_US, name="n"))
    assert monitor.decide(DAY_US + 1_000)[target]["status"] == "open"


def test_it_looks_once_a_minute_and_only_where_something_was_counted(
    monitor: Monitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []
    real = tracesieve.run.issues.failures_until

    def counted(store: Store, now_us: int, *more: str) -> pl.DataFrame:
        looks.append((now_us - NOW) // MINUTE_US)
        return real(store, now_us, *more)

    monkeypatch.setattr(tracesieve.run.issues, "failures_until", counted)
    monkeypatch.setattr(tracesieve.run.issues, "_SHARE", 0)
    for minute in range(125):
        if minute in (3, 4):
            monitor.count(failed(f"m{minute}", HOUR_US))
        for second in (0, 30):
            monitor.follower.step(NOW + minute * MINUTE_US + second * 1_000_000)
    assert looks == [3, 4, 64, 124]


def test_a_decision_that_could_not_be_written_is_made_again(
    monitor: Monitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor.count(*three(HOUR_US))

    def broken(*_: Any) -> int:
        raise StoreUnwritable("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(monitor.run.outbox, "enqueue", broken)
        with pytest.raises(StoreUnwritable):
            monitor.follower.step(NOW)
    monitor.follower.step(NOW)
    assert monitor.run.outbox.count("mlflow_issues") == 1


def test_without_the_key_there_is_no_follower(written: Callable[[str], Settings]) -> None:
    with ExitStack() as stack:
        run = open_run(written(""), stack, dry_run=False, rebuild=False, now_us=NOW)
        assert pattern_follower(run) is None
        assert [one.sink.name for one in run.deliveries if one.sink.outside] == []


def test_the_outbox_names_the_issue(monitor: Monitor) -> None:
    monitor.count(*three(HOUR_US))
    monitor.decide()
    (row,) = listed(monitor.store)
    assert subject(row) == f"issue of pattern {pattern('no user 7')} in experiment 1"
