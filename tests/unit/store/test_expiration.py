"""Expiry: which old rows go, and which stay because something still depends on them."""

from support.maintained_facts import NOW, fact

from sinks.registry import is_withdrawal
from store import Store, net_facts, open_store
from store.maintenance.needs import MaintenanceNeeds
from store.maintenance.retention import DAY_US, DEFAULTS_US, mistakes
from store.maintenance.schedule import Maintenance
from store.outbox import Ack, Outbox, OutboxMessage, messages_cursor
from store.schemas import TABLES


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


def test_sem_19_facts_that_no_message_was_made_from_yet_stay(tmp_path):
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


def test_sem_19_23_messages_that_wait_and_what_undo_goes_by_stay(tmp_path):
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
    notified = [{"episode": episode, "status": "firing", "notified_us": old} for episode in ("on", "over")]
    store.table("notifications").append(
        [*notified, {"episode": "over", "status": "resolved", "notified_us": old + 1}]
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


def test_sem_10_every_table_states_how_long_it_is_kept_or_is_kept_for_ever():
    assert {name for name, spec in TABLES.items() if spec.expires_by} == set(DEFAULTS_US)
    maintenance = Maintenance(Store("none"), MaintenanceNeeds(keep_us={"facts": 60 * DAY_US}))
    evidence, facts, labels, picks = (
        maintenance.cutoff(name, NOW) or 0 for name in ("evidence", "facts", "person_labels", "dataset_picks")
    )
    assert labels < facts < evidence  # tags would be taken back, did evidence outlive its fact
    assert picks == labels
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
