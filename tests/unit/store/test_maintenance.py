"""Maintenance: expiry, longer windows, few files, and what must stay; nothing that is summed changes."""

import random
import threading
from typing import Any

import polars as pl
import pytest

from rules.alerting.sums import SUM_NAMES
from sinks.registry import is_withdrawal
from store import Store, net_facts, open_store
from store.maintenance.coarsen import COARSE_US, FINE_US
from store.maintenance.compact import SMALL_FILES
from store.maintenance.needs import MaintenanceNeeds
from store.maintenance.retention import DAY_US, DEFAULTS_US, mistakes
from store.maintenance.schedule import Maintenance
from store.outbox import Ack, Outbox, OutboxMessage, messages_cursor
from store.rewrite import files_of, read_files, replace
from store.schemas import TABLES
from store.windows import partials

MINUTE, HOUR = 60_000_000, 3_600_000_000
NOW = 1_790_000_000_000_000 // DAY_US * DAY_US + 5 * HOUR


def fact(trace: str, end_us: int, **changes: Any) -> dict[str, Any]:
    row = {
        "stream_id": "s",
        "batch_id": 0,
        "weight": 1,
        "trace_id": trace,
        "group_by": ["experiment"],
        "group": ["a"],
        "start_us": end_us - 1000,
        "end_us": end_us,
        "error": False,
        "duration_us": 1000,
        "content_hash": 1,
        "change_us": end_us,
        "arrived_us": end_us,
        "hits": [],
        "tokens_total": 7,
        "state": "OK",
    }
    return {**row, **changes}


def write_windows(store: Store, facts: list[dict[str, Any]], batch: int = 0) -> None:
    rows = pl.DataFrame(store.table("facts").spec.schema.empty_table()).clear()
    table = store.table("facts")
    frame = pl.concat([rows, pl.DataFrame(table._arrow(facts))])
    made = partials(frame).with_columns(
        pl.lit("s").alias("stream_id"), pl.lit(batch, dtype=pl.Int64).alias("batch_id")
    )
    store.table("windows").append(made, app_id="windows:s", version=batch)


def totals(windows: pl.DataFrame, span_us: int = HOUR) -> list[Any]:
    """Every sum and every histogram bucket by hour: what no compaction may change."""
    hours = windows.with_columns(pl.col("start_us") // span_us)
    sums = (
        hours.group_by("start_us", "group")
        .agg(pl.col(name).sum() for name in SUM_NAMES)
        .sort("start_us", "group")
    )
    exploded = hours.select("start_us", "group", i="bucket_index", n="bucket_count").filter(
        pl.col("i").list.len() > 0
    )
    buckets = exploded.explode("i", "n").group_by("start_us", "group", "i").agg(pl.col("n").sum())
    return [sums.rows(), buckets.filter(pl.col("n") != 0).sort("start_us", "group", "i").rows()]


def scattered(number: int, seed: int = 1) -> list[dict[str, Any]]:
    dice = random.Random(seed)
    return [
        fact(
            f"t{seed}-{n}",
            NOW - dice.randrange(30 * DAY_US),
            duration_us=dice.randrange(10**7),
            error=dice.random() < 0.3,
            group=[dice.choice("ab")],
            weight=dice.choice([1, 1, -1]),
            tokens_total=dice.choice([None, 3, 9]),
        )
        for n in range(number)
    ]


def test_sem_10_old_minutes_become_five_minutes_then_hours_and_sums_stay_to_the_last_integer(tmp_path):
    store = open_store(str(tmp_path))
    write_windows(store, scattered(3000))
    before = totals(store.table("windows").read())
    maintenance = Maintenance(store, MaintenanceNeeds(longest_window_us=lambda: HOUR))
    assert "partials became" in " ".join(maintenance.maintain("windows", NOW))
    rows = store.table("windows").read()
    assert totals(rows) == before
    fine = (NOW - 2 * DAY_US - 2 * HOUR) // DAY_US * DAY_US
    coarse = (NOW - 14 * DAY_US) // DAY_US * DAY_US
    assert set(rows.filter(pl.col("start_us") >= fine)["size_us"]) == {MINUTE}
    assert set(rows.filter(pl.col("start_us").is_between(coarse, fine - 1))["size_us"]) == {FINE_US}
    assert set(rows.filter(pl.col("start_us") < coarse)["size_us"]) == {COARSE_US}
    version = store.table("windows").version()
    assert Maintenance(store, MaintenanceNeeds(longest_window_us=lambda: HOUR)).maintain("windows", NOW) == []
    assert store.table("windows").version() == version


def test_sem_10_what_comes_late_for_a_compacted_minute_adds_up(tmp_path):
    store = open_store(str(tmp_path))
    write_windows(store, scattered(500))
    Maintenance(store, MaintenanceNeeds()).maintain("windows", NOW)
    write_windows(store, scattered(500, seed=2), batch=1)
    before = totals(store.table("windows").read())
    Maintenance(store, MaintenanceNeeds()).maintain("windows", NOW)  # not due before the next day
    assert totals(store.table("windows").read()) == before
    Maintenance(store, MaintenanceNeeds()).maintain("windows", NOW + DAY_US)
    rows = store.table("windows").read()
    assert totals(rows) == before
    old = rows.filter(pl.col("start_us") < (NOW - 2 * DAY_US) // DAY_US * DAY_US)
    assert old["size_us"].min() == FINE_US


def test_sem_10_partials_whose_sums_cancel_keep_their_histogram(tmp_path):
    """Two amendments: 1 s to 3 s and 4 s to 2 s. Every sum is nothing, the histogram is not."""
    store = open_store(str(tmp_path))
    old = NOW - 20 * DAY_US
    seconds = [(1, -1), (3, 1), (4, -1), (2, 1)]
    write_windows(store, [fact(f"t{s}", old, weight=w, duration_us=s * 1_000_000) for s, w in seconds])
    before = totals(store.table("windows").read())
    assert len(before[1]) == 4
    Maintenance(store, MaintenanceNeeds()).maintain("windows", NOW)
    assert store.table("windows").read()["size_us"].to_list() == [COARSE_US]
    assert totals(store.table("windows").read()) == before


def test_sem_06_facts_expire_in_pairs_and_none_that_is_needed(tmp_path):
    store = open_store(str(tmp_path))
    old, new = NOW - 100 * DAY_US, NOW - 10 * DAY_US
    store.table("facts").append([fact("gone", old), fact("kept", new), fact("moved", old + 5)])
    withdrawn = fact("moved", old + 5, weight=-1, batch_id=1)
    store.table("facts").append([withdrawn, fact("moved", new, batch_id=1, content_hash=2)])
    Maintenance(store, MaintenanceNeeds()).maintain("facts", NOW)
    rows = store.table("facts").read()
    assert sorted(rows["trace_id"]) == ["kept", "moved"]
    assert rows["weight"].to_list() == [1, 1]
    assert net_facts(rows).height == 2
    needs = MaintenanceNeeds(keep_us={"facts": DAY_US}, least_us={"facts": 30 * DAY_US})
    assert Maintenance(store, needs).maintain("facts", NOW) == []


def test_sem_19_facts_that_no_wish_was_made_from_yet_stay(tmp_path):
    store = open_store(str(tmp_path))
    for batch, days in ((0, 200), (1, 150), (2, 120)):
        store.table("facts").append(
            [fact(f"t{batch}", NOW - days * DAY_US, batch_id=batch)], app_id="facts:s", version=batch
        )
        end = {"stream_id": "s", "batch_id": batch, "phase": "end", "now_us": NOW - days * DAY_US}
        store.table("batches").append([end], app_id="batches:s", version=batch)
    Outbox(store).enqueue([], NOW, app_id=messages_cursor("s"), version=0)
    Maintenance(store, MaintenanceNeeds(messages=True)).maintain("facts", NOW)
    assert sorted(store.table("facts").read()["trace_id"]) == ["t1", "t2"]
    Outbox(store).enqueue([], NOW, app_id=messages_cursor("s"), version=2)
    Maintenance(store, MaintenanceNeeds(messages=True)).maintain("facts", NOW)
    assert store.table("facts").read().height == 0
    Maintenance(store, MaintenanceNeeds()).maintain("batches", NOW)
    assert store.table("batches").read()["batch_id"].to_list() == [2]


def test_sem_08_nothing_is_done_while_a_batch_is_half_written(tmp_path):
    store = open_store(str(tmp_path))
    store.table("batches").append([{"stream_id": "s", "batch_id": 0, "phase": "begin", "now_us": NOW}])
    store.table("facts").append(
        [fact("old", NOW - 200 * DAY_US)], app_id="facts:s", version=0, metadata={"rows": "1"}
    )
    assert Maintenance(store, MaintenanceNeeds()).maintain("facts", NOW) == []
    store.table("batches").append(
        [{"stream_id": "s", "batch_id": 0, "phase": "end", "now_us": NOW}], app_id="batches:s", version=0
    )
    assert Maintenance(store, MaintenanceNeeds()).maintain("facts", NOW) == ["facts: 1 rows expired"]


def tags(trace: str, category: str | None) -> OutboxMessage:
    return OutboxMessage(
        "mlflow_tags", trace, {"trace_id": trace, "category": category, "rules": ["r"] if category else []}
    )


def test_sem_19_23_wishes_that_wait_and_what_undo_goes_by_stay(tmp_path):
    store = open_store(str(tmp_path))
    outbox, old = Outbox(store), NOW - 60 * DAY_US
    outbox.enqueue(
        [tags("stands", "first"), tags("taken-back", "x"), tags("waits", "x"), tags("refused", "x")], old
    )
    for message in outbox.pending("mlflow_tags"):
        if message.target in ("stands", "taken-back"):
            outbox.ack([Ack(message, "delivered")], old)
        if message.target == "refused":
            outbox.ack([Ack(message, "dead")], old)
    outbox.enqueue([tags("stands", "second"), tags("taken-back", None)], old + 1)
    for message in outbox.pending("mlflow_tags"):
        if message.target in ("stands", "taken-back"):
            outbox.ack([Ack(message, "delivered")], old + 1)
    outbox.enqueue([tags("last", "x")], old + 2)
    maintenance = Maintenance(store, MaintenanceNeeds(is_withdrawal=is_withdrawal))
    maintenance.maintain("outbox", NOW)
    maintenance.maintain("deliveries", NOW)
    left = store.table("outbox").read().sort("seq")
    assert [(row["target"], row["payload"].count("second")) for row in left.to_dicts()] == [
        ("waits", 0),
        ("refused", 0),
        ("stands", 1),
        ("last", 0),
    ]
    assert sorted(store.table("deliveries").read()["target"]) == ["refused", "stands"]
    assert sorted(message.target for message in Outbox(store).pending("mlflow_tags")) == ["last", "waits"]
    assert outbox.count() == 2  # the one that followed the tables all along agrees
    assert Outbox(store).enqueue([tags("stands", "second")], NOW) == 0
    assert Outbox(store).enqueue([tags("new", "x")], NOW) == 1
    assert store.table("outbox").read()["seq"].max() == 7


def test_sem_15_16_an_alert_that_fires_stays_with_its_verdict_however_old(tmp_path):
    store = open_store(str(tmp_path))
    old = NOW - 500 * DAY_US
    verdict = {"weight": 1, "rule": "r", "rule_hash": "h", "by": [], "group": [], "since_us": old}
    store.table("verdicts").append([{**verdict, "instant_us": old, "state": "firing"}])
    closed = [
        {**verdict, "rule_hash": "k", "instant_us": old + n, "state": s}
        for n, s in enumerate(("firing", "inactive"))
    ]
    withdrawn = [
        {**verdict, "rule_hash": "w", "instant_us": old, "state": "firing", "weight": w} for w in (1, -1)
    ]
    store.table("verdicts").append([*closed, *withdrawn])
    told = [{"episode": episode, "status": "firing", "notified_us": old} for episode in ("on", "over")]
    store.table("notifications").append(
        [*told, {"episode": "over", "status": "resolved", "notified_us": old + 1}]
    )
    maintenance = Maintenance(store, MaintenanceNeeds())
    maintenance.maintain("verdicts", NOW)
    maintenance.maintain("notifications", NOW)
    assert store.table("verdicts").read()["rule_hash"].to_list() == ["h"]
    assert store.table("notifications").read()["episode"].to_list() == ["on"]


def test_landing_keeps_its_cursors_and_its_counts(tmp_path):
    from streams.sources.landed import LandingTables
    from streams.sources.mlflow.known import read_cursors

    store = open_store(str(tmp_path))
    rows = [
        {
            "experiment_id": e,
            "kind": k,
            "from_us": n,
            "to_us": n + 1,
            "landed": 2,
            "skipped": 1,
            "landed_through_us": n,
            "at_us": NOW - 40 * DAY_US + n,
        }
        for n in range(20)
        for e in "12"
        for k in ("slice", "backlog", "sweep")
    ]
    for part in (rows[:60], rows[60:]):
        store.table("landing").append(part)
    store.table("landing").append([{**rows[-1], "from_us": 50, "to_us": 60, "at_us": NOW}])
    before = read_cursors(store.table("landing")), LandingTables(store).landed_us
    landed = store.table("landing").read()["landed"].sum()
    Maintenance(store, MaintenanceNeeds()).maintain("landing", NOW)
    assert store.table("landing").read().height == 7
    assert (read_cursors(store.table("landing")), LandingTables(store).landed_us) == before
    assert store.table("landing").read()["landed"].sum() == landed


def test_sem_19_traces_go_as_whole_files_and_none_that_the_stream_has_not_read(tmp_path):
    store = open_store(str(tmp_path))
    ages = (90, 80, 10)
    for days in ages:
        store.table("traces").append([{"trace_id": f"t{days}", "landed_us": NOW - days * DAY_US}])
    maintenance = Maintenance(store, MaintenanceNeeds())
    assert maintenance.maintain("traces", NOW) == []
    end = {
        "stream_id": "s",
        "batch_id": 0,
        "phase": "end",
        "now_us": NOW,
        "arrived_through_us": NOW - 85 * DAY_US,
    }
    store.table("batches").append([end])
    assert maintenance.maintain("traces", NOW) == ["traces: 1 rows expired"]
    assert sorted(store.table("traces").read()["trace_id"]) == ["t10", "t80"]


def test_many_small_files_become_few_and_who_follows_the_table_sees_each_row_once(tmp_path):
    from store.tail import Tail

    store = open_store(str(tmp_path))
    table = store.table("facts")
    table.append([fact("t", NOW)], app_id="facts:s", version=0)
    tail = Tail(table)
    for n in range(1, SMALL_FILES + 5):
        table.append([fact(f"t{n}", NOW + n)], app_id="facts:s", version=n)
    store.table("batches").append(
        [{"stream_id": "s", "phase": "end", "now_us": NOW}], app_id="batches:s", version=n
    )
    assert Maintenance(store, MaintenanceNeeds()).maintain("facts", NOW) == [
        f"facts: {SMALL_FILES + 5} files became 1"
    ]
    seen = tail.rows()
    assert seen is not None
    assert sorted(seen["trace_id"]) == sorted(f"t{n}" for n in range(1, SMALL_FILES + 5))
    assert table.app_version("facts:s") == SMALL_FILES + 4
    assert not table.append([fact("t", NOW)], app_id="facts:s", version=SMALL_FILES + 4)
    assert table.read().height == SMALL_FILES + 5


def test_a_rewrite_gives_up_when_a_file_is_gone_and_lets_appends_pass(tmp_path):
    store = open_store(str(tmp_path))
    table = store.table("facts")
    for n in range(3):
        table.append([fact(f"t{n}", NOW + n)])
    paths = files_of(table.fresh())["path"].to_list()
    rows = read_files(table, paths[:2])
    table.append([fact("late", NOW)])
    assert replace(table, paths[:2], [rows], app_id="a", version=1, operation="test")
    assert table.read().height == 4
    assert not replace(table, paths[:2], [rows], app_id="a", version=2, operation="test")
    table.fresh().optimize.compact()  # takes the last file away without a change of data
    assert not replace(table, paths[2:], [rows], app_id="a", version=2, operation="test")
    assert table.read().height == 4


def test_sem_10_19_appends_go_on_while_everything_is_tended(tmp_path, monkeypatch):
    monkeypatch.setattr("store.maintenance.compact.SMALL_FILES", 10)
    watched = open_store(str(tmp_path))
    stop, failed = threading.Event(), []

    def append(batch: int = 0) -> None:
        try:
            while not stop.is_set() or batch < 50:
                facts = scattered(5, seed=batch)
                end = {"stream_id": "s", "batch_id": batch, "phase": "end", "now_us": NOW}
                watched.table("facts").append(facts, app_id="facts:s", version=batch)
                write_windows(watched, facts, batch)
                watched.table("batches").append([end], app_id="batches:s", version=batch)
                batch += 1
        except Exception as error:  # noqa: BLE001 - told by the test below
            failed.append(error)

    thread = threading.Thread(target=append)
    thread.start()
    other = open_store(str(tmp_path))
    for day in range(8):
        Maintenance(other, MaintenanceNeeds()).all(NOW + day * DAY_US)
    stop.set()
    thread.join()
    assert not failed
    batches = watched.table("facts").app_version("facts:s") + 1
    facts = [row for n in range(batches) for row in scattered(5, seed=n)]
    assert sorted(watched.table("facts").read()["trace_id"]) == sorted(row["trace_id"] for row in facts)
    plain = open_store(str(tmp_path / "plain"))
    write_windows(plain, facts)
    assert totals(watched.table("windows").read()) == totals(plain.table("windows").read())


def test_sem_10_every_table_says_for_how_long_it_is_kept_or_is_kept_for_ever():
    assert {name for name, spec in TABLES.items() if spec.expires_by} == set(DEFAULTS_US)
    maintenance = Maintenance(Store("none"), MaintenanceNeeds(keep_us={"facts": 60 * DAY_US}))
    evidence, facts, said = (
        maintenance.cutoff(name, NOW) or 0 for name in ("evidence", "facts", "person_labels")
    )
    assert said < facts < evidence  # tags would be taken back, did evidence outlive its fact
    assert maintenance.cutoff("rule_sets", NOW) is None


def test_a_retention_that_loses_what_is_needed_or_names_no_table_is_a_config_error():
    assert mistakes({"facts": 90 * DAY_US, "windows": 9 * DAY_US}, 30 * DAY_US, 2 * DAY_US) == []
    found = mistakes({"fact": DAY_US, "facts": DAY_US, "rule_sets": DAY_US}, 30 * DAY_US, 2 * DAY_US)
    assert [line.split(":")[0] for line in found] == ["fact", "facts", "rule_sets"]
    assert "there are: traces, landing" in found[0]
    assert "dedupe_horizon, which is 32d" in found[1]
    assert mistakes({"candidates": 90 * DAY_US}, 0, 0) == [
        "candidates: this table is called person_labels now"
    ]


@pytest.mark.parametrize("hours", [1, 30])
def test_unused_files_go_after_an_hour_and_no_file_of_a_write_under_way(tmp_path, hours):
    import os
    import time

    store = open_store(str(tmp_path))
    table = store.table("rule_sets")
    table.append([{"rule_set_hash": "p"}])
    orphan = tmp_path / "rule_sets" / "part-x.parquet"
    orphan.write_bytes(b"cut short")
    age = time.time() - hours * 1800
    os.utime(orphan, (age, age))
    Maintenance(store, MaintenanceNeeds()).maintain("rule_sets", NOW)
    assert orphan.exists() == (hours == 1)
    assert table.read().height == 1
