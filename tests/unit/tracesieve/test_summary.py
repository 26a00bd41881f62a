"""What `run --once` says at its end, of the batches that it made."""

from __future__ import annotations

from pathlib import Path

from rich.cells import cell_len
from support.made_facts import batch, fact, put

from rules.rule_set import build_rule_set, parse_rule
from rules.tags import tags_of
from store import open_store
from store.outbox import Ack, Outbox, OutboxMessage
from tracesieve.run.summary import last_batch, render, summary

RULES = build_rule_set([parse_rule({"id": "failed", "when": "status = 'ERROR'", "tag": "error_case"})])
HIT = [{"rule": "failed", "hash": "h"}]


def test_it_has_the_candidates_among_the_traces_that_the_run_took(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    put(store, RULES, 1)
    batch(store, 0, [fact("before", 1, hits=HIT)])
    since = last_batch(store, "s")
    rows = {name: fact(name, 2, error=True, hits=HIT) for name in ("a", "b")}
    batch(store, 1, [*rows.values(), fact("fine", 2)])
    # An amendment: the old row is of an earlier batch.
    batch(store, 2, [fact("before", 1, hits=HIT, weight=-1), fact("before", 1, content_hash=2, hits=HIT)])
    outbox = Outbox(store)
    outbox.enqueue([OutboxMessage("mlflow_tags", one, tags_of(RULES, one, rows[one], [])) for one in rows], 1)
    (first, _) = outbox.pending("mlflow_tags")
    outbox.ack([Ack(first, "delivered")], 2)
    found = summary(store, "s", since, 0, 1)
    assert found["traces"] == 3
    (row,) = found["categories"]
    assert (row["category"], row["matched"], row["tagged"]) == ("error_case", 3, 1)
    assert row["not_tagged"] == {"waiting": 1, "not_sent": 1}
    text = render(found).splitlines()
    assert text[0].startswith("Took 3 new traces")
    assert "candidates  matched  tagged  in the set  records  left out" in text
    assert all(cell_len(line) <= 80 for line in text)


def test_a_run_without_candidates_says_nothing_of_them(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    batch(store, 0, [fact("fine", 2)])
    text = render(summary(store, "s", -1, 0, 0))
    assert "candidates" not in text
    assert text.startswith("Took 1 new traces")
