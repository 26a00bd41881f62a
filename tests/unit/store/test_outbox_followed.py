"""The outbox in memory: what other processes append is seen, a poll costs the same however much lies
behind it.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

import polars as pl
import pytest

from store import Store, open_store
from store.errors import TailLost
from store.outbox import FINAL, SETTLED, Ack, Outbox, OutboxMessage
from store.table import Table
from store.tail import Tail


def test_sem_21_what_another_process_retries_or_drops_is_heard_of_without_a_restart(tmp_path: Path) -> None:
    outbox, other = (Outbox(open_store(str(tmp_path))) for _ in range(2))
    outbox.enqueue([OutboxMessage("tags", one, {"n": 1}) for one in ("a", "b", "c")], 1)
    assert {message.target for message in other.pending("tags")} == {"a", "b", "c"}
    outbox.ack([Ack(message, "dead") for message in outbox.pending("tags") if message.target != "c"], 2)
    keys = {row["target"]: row["key"] for row in other.rows()}
    assert other.requeue([keys["a"]], "requeued", 3) == 1
    assert other.requeue([keys["c"]], "dropped", 4) == 1
    assert [message.target for message in outbox.pending("tags")] == ["a"]
    assert outbox.count() == 1


def test_a_requeued_wish_that_a_newer_one_overtook_is_not_delivered(tmp_path: Path) -> None:
    outbox = Outbox(open_store(str(tmp_path)))
    outbox.enqueue([OutboxMessage("tags", "a", {"n": 1})], 1)
    old = outbox.pending("tags")[0]
    outbox.ack([Ack(old, "dead")], 2)
    outbox.enqueue([OutboxMessage("tags", "a", {"n": 2})], 3)
    outbox.ack([Ack(outbox.pending("tags")[0], "delivered")], 4)
    outbox.requeue([old.seq_key], "requeued", 5)
    assert outbox.pending("tags") == []
    assert outbox.rows() == []  # it was acknowledged as superseded


def waiting(store: Store) -> dict[str, str]:
    """The newest message of each target that has no final outcome: from the tables, the plain way."""
    messages = store.table("outbox").read().sort("seq").unique("target", keep="last")
    acks = store.table("deliveries").read().with_row_index("_row")
    last = acks.sort(pl.col("outcome").is_in(SETTLED), "at_us", "_row").unique(
        "key", keep="last", maintain_order=True
    )
    open_ = messages.join(last.filter(pl.col("outcome").is_in(FINAL)), on="key", how="anti")
    return dict(open_.select("target", "key").iter_rows())


@pytest.mark.parametrize("seed", range(2))
def test_sem_19_memory_says_what_the_tables_say_after_any_order_of_wishes_acks_and_restarts(
    seed: int, tmp_path: Path
) -> None:
    pick, store = random.Random(seed), open_store(str(tmp_path))
    boxes = [Outbox(store), Outbox(store)]
    for now in range(1, 20):
        box = pick.choice(boxes)
        if pick.random() < 0.4:
            box.enqueue(
                [OutboxMessage("tags", pick.choice("abcd"), {"n": pick.randrange(3)}) for _ in range(1)], now
            )
        elif pick.random() < 0.3:
            rows = box.rows()
            if rows:
                box.requeue([pick.choice(rows)["key"]], pick.choice(["requeued", "dropped"]), now)
        else:
            pending = box.pending("tags")
            if pending:
                box.ack([Ack(pick.choice(pending), pick.choice(["delivered", "dead", "retry"]))], now)
        if pick.random() < 0.1:
            boxes[pick.randrange(2)] = Outbox(store)
        for one in boxes:
            assert {message.target: message.seq_key for message in one.pending("tags")} == waiting(store)


def test_looks_do_not_reread_the_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(str(tmp_path))
    outbox = Outbox(store)
    outbox.enqueue([OutboxMessage("tags", str(n), {"n": n}) for n in range(5_000)], 1)
    outbox.ack([Ack(message, "delivered") for message in outbox.pending("tags", 4_000)], 2)
    assert outbox.count() == 1000

    def refuse(*_: object) -> None:
        raise AssertionError("a whole table was read")

    monkeypatch.setattr(Table, "read", refuse)
    began = time.perf_counter()
    for n in range(20):
        assert len(outbox.pending("tags", 10)) == 10
        assert outbox.enqueue([OutboxMessage("tags", "4999", {"n": 4_999})], 3 + n) == 0
    assert time.perf_counter() - began < 5  # 0.1 s alone; reading both tables each time takes minutes


def test_a_tail_gives_appends_once_and_passes_over_what_rewrites_them(tmp_path: Path) -> None:
    table = open_store(str(tmp_path)).table("outbox")
    tail = Tail(table)
    assert tail.poll() == []
    for number in range(3):
        table.append([{"key": str(number), "seq": number}], marks={"x": number})
    assert [(commit.rows["key"].to_list(), commit.transactions) for commit in tail.poll()] == [
        (["0"], {"x": 0}),
        (["1"], {"x": 1}),
        (["2"], {"x": 2}),
    ]
    handle = table.delta()
    assert handle is not None
    handle.optimize.compact()
    handle.delete("seq = 1")
    table.append([{"key": "3", "seq": 3}])
    assert [commit.rows["key"].to_list() for commit in tail.poll()] == [["3"]]
    assert table.app_version("x") == 2
    assert [commit.transactions for commit in tail.back()][-3:] == [{"x": 2}, {"x": 1}, {"x": 0}]


def test_a_tail_whose_commits_are_gone_says_so(tmp_path: Path) -> None:
    table = open_store(str(tmp_path)).table("outbox")
    tail = Tail(table)
    for number in range(3):
        table.append([{"key": str(number), "seq": number}])
    handle = table.delta()
    assert handle is not None
    handle.create_checkpoint()
    log = tmp_path / "outbox" / "_delta_log"
    for number in range(2):
        (log / f"{number:020d}.json").unlink()
    with pytest.raises(TailLost):
        tail.poll()
