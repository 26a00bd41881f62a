"""Candidates by category: matched, tagged, in the set, and why the rest is not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from support.made_facts import MINUTE, T0, fact

from rules.rule_set import build_rule_set, parse_rule
from rules.selection import REASONS as QUOTA_REASONS
from rules.tags import membership_of, tags_of
from sinks.mlflow.config import DatasetsConfig
from sinks.mlflow.records import GONE, RecordKey, Records, RecordSource, marked
from sinks.undo import withdrawals
from store import Store, open_store
from store.outbox import Ack, Outbox, OutboxMessage
from store.rule_sets import RuleSets
from tracesieve.analysis.candidates import REASONS, lines
from tracesieve.analysis.report import report
from tracesieve.datasets.sets import DatasetSets

RULES = build_rule_set(
    [
        parse_rule({"id": "refund", "when": "tags.a = 'b'", "tag": "refund_error"}),
        parse_rule({"id": "failed", "when": "status = 'ERROR'", "tag": "error_case", "severity": "critical"}),
        parse_rule(
            {
                "id": "rate",
                "window": {"size": "2m"},
                "fire": "traces > 1",
                "evidence": {"tag": "costly", "most": 2},
            }
        ),
    ]
)
NOW = T0 + 60 * MINUTE
TAGS, RECORDS = "mlflow_tags", "mlflow_datasets"
BOTH = ("refund", "failed")


def hits(*ids: str) -> list[dict[str, str]]:
    return [{"rule": one, "hash": f"h-{one}"} for one in ids]


class Made:
    """A store with facts, and what became of the messages about them."""

    def __init__(self, path: Path) -> None:
        self.store = open_store(str(path))
        RuleSets(self.store).put(RULES, ["experiment"], 1)
        self.outbox, self.records = Outbox(self.store), Records(self.store.table("records"))
        self.facts: dict[str, dict[str, Any]] = {}

    def trace(self, name: str, *rules: str, tags: str = "delivered", records: str = "delivered") -> None:
        """A trace that matches these rules; the outcome of its two messages ("": none was made)."""
        row = self.facts[name] = fact(name, 1, hits=hits(*rules))
        self.store.table("facts").append([{**row, "stream_id": "s", "batch_id": len(self.facts)}])
        self.message(OutboxMessage(TAGS, name, tags_of(RULES, name, row, [])), tags)
        self.message(OutboxMessage(RECORDS, name, membership_of(RULES, name, row, [])), records)

    def message(self, message: OutboxMessage, outcome: str) -> None:
        if outcome:
            self.outbox.enqueue([message], 1)
        if outcome not in ("", "waiting"):
            pending = {one.target: one for one in self.outbox.pending(message.sink)}
            self.outbox.ack([Ack(pending[message.target], outcome)], 2)

    def source(self, category: str, record: str, *traces: str, gone: bool = False) -> None:
        key = RecordKey(f"mine_{category}", "d-1", record)
        sources: dict[str, RecordSource | None] = {one: RecordSource(one, 5) for one in traces}
        self.records.change({key: {**sources, **(marked(GONE) if gone else {})}})

    def report(self) -> dict[str, Any]:
        return report(self.store, T0, NOW, [], NOW, sets=DatasetSets(DatasetsConfig(prefix="mine")))

    def rows(self) -> dict[str, dict[str, Any]]:
        return {row["category"]: row for row in self.report()["categories"]}


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path)


def label(store: Store, trace_id: str, value: str | None, arrived_us: int = 1) -> None:
    start = {"trace_id": trace_id, "start_us": T0 + MINUTE, "label": value, "arrived_us": arrived_us}
    store.table("person_labels").append([{**start, "stream_id": "s", "batch_id": 0}])


def test_a_trace_of_several_categories_counts_in_each_and_equal_requests_are_one_record(made: Made) -> None:
    for name in ("a", "b"):
        made.trace(name, *BOTH)
    made.trace("c", "failed")
    made.trace("fine")
    made.source("error_case", "r1", "a", "b")
    made.source("error_case", "r2", "c")
    made.source("refund_error", "r1", "a", "b")
    made.source("error_case", "r3", "of-another-day")
    numbers = {"not_tagged": {}, "left_out": {}}
    assert made.rows() == {
        "error_case": {
            "category": "error_case",
            "matched": 3,
            "tagged": 3,
            "in_set": 3,
            "records": 2,
            **numbers,
        },
        "refund_error": {
            "category": "refund_error",
            "matched": 2,
            "tagged": 2,
            "in_set": 2,
            "records": 1,
            **numbers,
        },
    }
    found = made.report()
    assert found["categories_total"] == {"matched": 3, "tagged": 3, "in_set": 3, "records": 3}
    assert found["candidates"] == {"error_case": 3}  # each once, by what `eval_candidate` holds
    assert lines(found)[:4] == [
        "candidates    matched  tagged  in the set  records  left out",
        "error_case          3       3           3        2",
        "refund_error        2       2           2        1",
        "all of them         3       3           3        3",
    ]


def test_what_is_not_there_has_its_reason(made: Made) -> None:
    made.trace("waits", "failed", tags="waiting", records="waiting")
    made.trace("retried", "failed", tags="retry", records="retry")
    made.trace("refused", "failed", tags="dead", records="dead")
    made.trace("dropped", "failed", tags="dropped", records="dropped")
    made.trace("unsent", "failed", tags="", records="")
    made.trace("deleted", "failed")
    made.source("error_case", "r1", "deleted", gone=True)
    made.trace("undone", "failed")
    for one in withdrawals(made.store):
        if one.target == "undone":
            made.message(one, "delivered")
    made.trace("older", "refund", tags="", records="")
    made.message(OutboxMessage(TAGS, "older", {"category": "bug", "rules": ["x"]}), "delivered")
    made.message(OutboxMessage(RECORDS, "older", {"categories": {"bug": {}}}), "delivered")
    rows = made.rows()
    reasons = {"waiting": 2, "refused": 1, "dropped": 1, "not_sent": 1, "taken_back": 1}
    assert rows["error_case"]["not_tagged"] == reasons
    assert rows["error_case"]["left_out"] == {**reasons, "deleted": 1}
    assert (rows["error_case"]["tagged"], rows["error_case"]["in_set"]) == (1, 0)
    assert rows["refund_error"]["not_tagged"] == {"older_version": 1}
    assert rows["refund_error"]["left_out"] == {"older_rules": 1}
    assert (rows["bug"]["matched"], rows["bug"]["tagged"]) == (0, 1)  # a tag that stayed
    assert {*reasons, "deleted", "older_version", "older_rules"} == set(REASONS) - set(QUOTA_REASONS)
    text = "\n".join(lines(made.report()))
    assert all(cell_len(line) <= 80 for line in text.splitlines()), text
    assert "refund_error 1 tagged by an older version" in text
    assert "`tracesieve apply`" in text and "`tracesieve outbox list`" in text


def test_a_newer_message_that_waits_leaves_the_tags_as_they_were(made: Made) -> None:
    made.trace("a", *BOTH)
    made.message(OutboxMessage(TAGS, "a", {"trace_id": "a", "category": None, "rules": []}), "waiting")
    assert made.rows()["refund_error"]["tagged"] == 1
    (waiting,) = made.outbox.pending(TAGS)
    made.outbox.ack([Ack(waiting, "delivered")], 3)
    assert made.rows()["refund_error"]["tagged"] == 0


def test_sem_22_a_category_that_a_person_invents_is_in_the_report(made: Made) -> None:
    made.trace("a", *BOTH)
    made.trace("b")
    made.trace("c", "refund")
    for name, values in (("a", ["golden"]), ("b", ["x", "golden"]), ("c", ["golden", None]), ("gone", ["y"])):
        for arrived_us, value in enumerate(values):
            label(made.store, name, value, arrived_us)
    made.source("golden", "r1", "a")
    found, rows = made.report(), made.rows()
    # The tag of a person stands in the place of ours.
    assert found["candidates"] == {"golden": 2, "refund_error": 1}
    golden = {"matched": 2, "tagged": 2, "in_set": 1, "records": 1}
    assert {name: rows["golden"][name] for name in golden} == golden
    assert {name: row["matched"] for name, row in rows.items()} == {
        "golden": 2,
        "refund_error": 2,
        "error_case": 1,
    }
    assert found["rules"] == {"refund": 2, "failed": 1}


def test_evidence_is_matched_and_what_was_never_to_be_sent_is_no_zero(made: Made) -> None:
    made.trace("a", tags="", records="")
    evidence = {"episode": "x", "rule": "rate", "instant_us": T0 + 2 * MINUTE, "rank": 0, "trace_id": "a"}
    made.store.table("evidence").append([evidence])
    assert made.rows()["costly"] == {
        "category": "costly",
        "matched": 1,
        "tagged": None,
        "in_set": None,
        "records": None,
        "not_tagged": {},
        "left_out": {},
    }
    assert lines(made.report())[1] == "costly            1       -           -        -"


def test_a_store_without_candidates_has_an_empty_table(made: Made) -> None:
    found = made.report()
    assert found["categories"] == []
    assert lines(found) == ["candidates: none"]


def test_a_persons_category_is_hostile_text_that_fits(made: Made) -> None:
    made.trace("a")
    label(made.store, "a", '\x1b[2J", "trace_id": "x"}' + "ü" * 90)
    made.message(OutboxMessage(TAGS, 'a"}', {"category": "odd", "rules": ["r"]}), "delivered")
    text = "\n".join(lines(made.report()))
    assert text.replace("\n", "").isprintable()
    assert all(cell_len(line) <= 80 for line in text.splitlines())


def test_every_reason_is_in_the_docs() -> None:
    page = (Path(__file__).parents[3] / "docs" / "concepts.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\w+)` \| ([\w ]+) \|", page, re.MULTILINE)
    assert [pair for pair in listed if pair[0] in REASONS] == list(REASONS.items())
