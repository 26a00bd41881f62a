"""A changed config reaches the datasets when a person asks for it: once, and not what `undo` took back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.dataset_candidates import RULES, counted, failed, follower, members

from sinks.mlflow.config import DatasetsConfig
from store import Store, open_store
from store.content import TraceTable
from store.outbox import Ack, Outbox, OutboxMessage
from tracesieve.datasets.renewal import renew
from tracesieve.datasets.sets import DatasetSets

SINKS = ["mlflow_datasets"]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Ten members of one dataset."""
    store = open_store(str(tmp_path))
    counted(store, 0, [failed(f"t{n}", "down") for n in range(10)])
    follower(store).step(RULES, 1)
    return store


def renewed(store: Store, **config: Any) -> int:
    sets = DatasetSets(DatasetsConfig.model_validate(config))
    return renew(store, Outbox(store), sets, TraceTable(store.table("traces").uri), SINKS, 2)


def test_other_quotas_change_the_members_once(store: Store) -> None:
    assert renewed(store) == 0
    assert renewed(store, quotas={"total": 3}) == 7
    few = members(store)
    assert len(few) == 3
    assert renewed(store, quotas={"total": 3}) == 0
    assert renewed(store) == 7
    assert len(members(store)) == 10
    assert follower(store).step(RULES, 3) == 0


def test_a_new_set_takes_the_candidates_that_there_were(store: Store) -> None:
    sets = {"errors": {"categories": ["error_case"]}}
    assert renewed(store, sets=sets) == 10
    assert {tuple(names) for names in members(store).values()} == {("errors",)}


def test_what_undo_took_back_stays_out(store: Store) -> None:
    outbox = Outbox(store)
    outbox.enqueue(
        [OutboxMessage(SINKS[0], f"t{n}", {"trace_id": f"t{n}", "categories": {}}) for n in range(10)], 2
    )
    outbox.ack([Ack(one, "delivered") for one in outbox.pending(SINKS[0])], 2)
    assert renewed(store, quotas={"total": 3}) == 0
    assert members(store) == {}
