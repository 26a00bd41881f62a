"""Traces that a search puts into a dataset: like a rule's, once, through kills and repeats, and out again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from support.dataset_candidates import RULES, batch, failed, follower, landed
from support.made_facts import fact

from rules.tags import search_rule
from store import Store, open_store
from store.outbox import Outbox, last_messages
from store.picks import Picks, picks_cursor
from tracesieve.datasets.memberships import TagsAndMemberships

CONDITION = "user = 'eve' OR  tags.tier = 'gold'"
REASON = "search: user = 'eve' OR tags.tier = 'gold'"
PICKED = {"rules": [search_rule(CONDITION)], "reason": REASON, "picked": REASON}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = open_store(str(tmp_path))
    landed(store, {f"t{n}": f"question {n}" for n in range(6)})
    batch(store, 0, [failed("t0", "down"), *(fact(f"t{n}", 0) for n in range(1, 6))], RULES)
    return store


def traces(*ids: str) -> pl.DataFrame:
    return pl.DataFrame({"trace_id": ids, "start_us": [fact("", 0)["start_us"]] * len(ids)})


def memberships(store: Store) -> dict[str, Any]:
    """What the newest message of each trace says."""
    newest = last_messages(store, ["mlflow_datasets"]).select("target", "newest").iter_rows()
    return {target: json.loads(payload)["categories"] for target, payload in newest}


def step(store: Store, one: TagsAndMemberships | None = None, **config: Any) -> int:
    return (one or follower(store, **config)).step(RULES, 1)


def test_a_search_puts_traces_into_a_dataset_with_its_condition_as_the_reason(store: Store) -> None:
    step(store)
    assert set(memberships(store)) == {"t0"}
    Picks(store).put(traces("t1", "t2"), "gold", CONDITION, 1)
    assert step(store) == 2
    assert memberships(store)["t1"] == memberships(store)["t2"] == {"gold": PICKED}
    assert set(memberships(store)["t0"]) == {"error_case"}


def test_a_running_follower_and_one_that_starts_later_make_the_messages_once(store: Store) -> None:
    running = follower(store)
    step(store, running)
    Picks(store).put(traces("t1"), "gold", CONDITION, 1)
    assert (step(store, running), step(store, running), step(store)) == (1, 0, 0)
    Picks(store).put(traces("t2"), "gold", CONDITION, 1)
    assert (step(store), step(store, running)) == (1, 0)


def test_a_search_into_the_dataset_of_a_rule_adds_to_what_the_rule_says(store: Store) -> None:
    step(store)
    Picks(store).put(traces("t0", "t1"), "error_case", CONDITION, 1)
    step(store)
    both = memberships(store)["t0"]["error_case"]
    assert [rule["rule"] for rule in both["rules"]] == ["failed", search_rule(CONDITION)["rule"]]
    assert both["reason"] == "a tool"
    assert memberships(store)["t1"]["error_case"]["reason"] == REASON


def test_what_is_taken_out_leaves_unless_a_rule_keeps_it(store: Store) -> None:
    picks = Picks(store)
    picks.put(traces("t0", "t1"), "error_case", CONDITION, 1)
    picks.put(traces("t0", "t1"), "error_case", "status = 'OK'", 1)
    step(store)
    picks.put(traces("t0", "t1"), "error_case", None, 1)
    step(store)
    assert memberships(store)["t1"] == {}
    assert [rule["rule"] for rule in memberships(store)["t0"]["error_case"]["rules"]] == ["failed"]
    picks.put(traces("t1"), "error_case", CONDITION, 1)
    step(store)
    assert set(memberships(store)["t1"]) == {"error_case"}


def test_an_amended_trace_stays_where_a_search_put_it(store: Store) -> None:
    Picks(store).put(traces("t1"), "gold", CONDITION, 1)
    step(store)
    rows = [fact("t1", 0, weight=-1), fact("t1", 0, content_hash=2, end_us=fact("t1", 0)["end_us"] + 5)]
    batch(store, 1, rows, RULES)
    assert step(store) == 1
    assert memberships(store)["t1"] == {"gold": PICKED}


def test_a_crash_before_the_messages_loses_nothing_and_after_them_repeats_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    step(store)
    request = Picks(store).put(traces("t1", "t2"), "gold", CONDITION, 1)

    def killed(*_arguments: Any, **_named: Any) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Outbox, "enqueue", killed)
        step(store)
    assert not Picks(store).is_done(request)
    assert step(store) == 2
    assert Picks(store).is_done(request)
    assert store.table("outbox").app_version(picks_cursor(request)) == 1
    assert step(store) == 0


def test_what_undo_took_back_does_not_come_back_by_itself(store: Store) -> None:
    from store.outbox import OutboxMessage

    Picks(store).put(traces("t1"), "gold", CONDITION, 1)
    step(store)
    Outbox(store).enqueue([OutboxMessage("mlflow_datasets", "t1", {"trace_id": "t1", "categories": {}})], 2)
    assert step(store) == 0
    assert memberships(store)["t1"] == {}
    Picks(store).put(traces("t1"), "gold", CONDITION, 1)
    assert step(store) == 1
    assert set(memberships(store)["t1"]) == {"gold"}


def test_quotas_hold_for_what_a_search_finds(store: Store) -> None:
    Picks(store).put(traces("t1", "t2", "t3", "t4"), "gold", CONDITION, 1)
    step(store, quotas={"total": 2})
    assert sum("gold" in one for one in memberships(store).values()) == 2


def test_sets_of_the_config_take_what_is_for_them_and_no_other(store: Store) -> None:
    sets = {"nightly": {"categories": ["error_case"]}, "strict": {"approval": True}}
    picks = Picks(store)
    picks.put(traces("t1"), "error_case", CONDITION, 1)
    picks.put(traces("t2"), "strict", CONDITION, 1)
    picks.put(traces("t3"), "gold", CONDITION, 1)
    step(store, sets=sets)
    found = {trace: set(one) for trace, one in memberships(store).items()}
    assert found == {"t0": {"nightly"}, "t1": {"error_case"}, "t2": {"strict"}, "t3": {"gold"}}


def test_searches_are_in_the_order_in_which_they_came_also_when_the_clock_is_set_back(store: Store) -> None:
    picks = Picks(store)
    picks.put(traces("t1"), "gold", CONDITION, 10**9)
    picks.put(traces("t1"), "gold", None, 5)
    assert picks.of("t1") == {}
    picks.put(traces("t1"), "gold", "status = 'OK'", 4)
    assert picks.of("t1") == {"gold": ("status = 'OK'",)}
    assert picks.standing() == ["t1"]


def test_a_long_condition_is_cut_in_the_reason_and_kept_in_the_store(store: Store) -> None:
    long = " OR ".join(f"user = 'u{n}'" for n in range(200))
    Picks(store).put(traces("t1"), "gold", long, 1)
    step(store)
    assert len(memberships(store)["t1"]["gold"]["reason"]) <= 310
    assert Picks(store).of("t1")["gold"] == (long,)


def test_a_run_that_goes_on_does_what_a_search_asks(store: Store, tmp_path: Path) -> None:
    from store.lease import Lease
    from store.outbox import Ack
    from tracesieve.config.loading import load_settings
    from tracesieve.run.picks import pick, target

    (tmp_path / "c.yaml").write_text(
        "source: {kind: mlflow, tracking_uri: 'http://127.0.0.1:9', experiments: [support]}\n"
        f"mlflow: {{tracking_uri: 'http://127.0.0.1:9'}}\nstore: {tmp_path}\n"
    )
    settings, lines = load_settings(tmp_path / "c.yaml"), []
    lease, ended = Lease(str(tmp_path)), threading.Event()
    lease.acquire()

    def run() -> None:
        running, outbox = follower(store), Outbox(store)
        while not ended.wait(0.05):
            running.step(RULES, 1)
            outbox.ack([Ack(one, "delivered") for one in outbox.pending("mlflow_datasets")], 2)

    beside = threading.Thread(target=run)
    beside.start()
    try:
        into = target(settings, "tracesieve_gold")
        assert (into.category, into.name) == ("gold", "tracesieve_gold")
        asking = open_store(str(tmp_path))
        assert pick(settings, asking, traces("t1"), into, CONDITION, lines.append) == 0
        assert pick(settings, asking, traces(), into, CONDITION, lines.append) == 0
    finally:
        ended.set()
        beside.join()
        lease.release()
    assert memberships(store)["t1"] == {"gold": PICKED}
    assert lines == ["the run that goes on does it; Ctrl-C ends only the waiting"]


def test_searches_that_are_asked_at_the_same_time_all_come_in(store: Store, tmp_path: Path) -> None:
    def ask(number: int) -> str:
        return Picks(open_store(str(tmp_path))).put(traces(f"t{number % 5}"), f"set{number}", CONDITION, 1)

    with ThreadPoolExecutor(8) as pool:
        asked = list(pool.map(ask, range(16)))
    picks = Picks(store)
    assert sorted(picks.open()) == sorted(asked)
    step(store)
    assert picks.open() == []
    assert {name for one in memberships(store).values() for name in one} == {
        "error_case",
        *(f"set{number}" for number in range(16)),
    }


_KILLED = """
import os, signal, sys
import polars as pl
import store.table as tables
from store import open_store
from store.picks import Picks
from support.dataset_candidates import RULES, follower

store, last = open_store(sys.argv[1]), int(sys.argv[2])
follower(store).step(RULES, 1)
write, commits = tables.write_deltalake, iter(range(1, 100))

def write_and_die(*arguments, **named):
    write(*arguments, **named)
    if next(commits) == last:
        os.kill(os.getpid(), signal.SIGKILL)

tables.write_deltalake = write_and_die
traces = pl.DataFrame({"trace_id": ["t1", "t2"], "start_us": [int(sys.argv[3])] * 2})
Picks(store).put(traces, "gold", sys.argv[4], 1)
follower(store).step(RULES, 1)
"""


@pytest.mark.parametrize("commits", [1, 2, 3])
def test_killed_after_any_commit_a_search_is_done_once(store: Store, tmp_path: Path, commits: int) -> None:
    """The commits: what was asked, what was decided of the candidates, the messages."""
    start_us = str(fact("", 0)["start_us"])
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, str(tmp_path), str(commits), start_us, CONDITION],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    after = open_store(str(tmp_path))
    made = 0 if commits == 3 else 2
    assert (step(after), step(after), len(Picks(after).open())) == (made, 0, 0)
    assert memberships(after)["t1"] == memberships(after)["t2"] == {"gold": PICKED}
    rows = after.table("outbox").read(["target"]).group_by("target").len()
    assert dict(rows.iter_rows()) == {"t0": 1, "t1": 1, "t2": 1}
