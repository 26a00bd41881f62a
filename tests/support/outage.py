"""An outage: 5,000 failures that are alike and 50 rare ones of ten kinds, and a process that makes a dataset
of them until it is done or killed.
"""

from __future__ import annotations

import random
import sys
import time
from typing import Any

from support.dataset_candidates import RULES, failed, follower, landed

from sinks.delivery import Delivery
from sinks.mlflow.config import DatasetsConfig
from sinks.mlflow.datasets import MlflowDatasets
from store import Store, open_store
from store.content import TraceTable
from store.outbox import Outbox

BEGINNINGS, ENDINGS = ("mo", "ta", "ri", "ne", "lu", "ko", "sa"), ("bel", "dun", "fir", "gos")
WORDS = [first + last for first in BEGINNINGS for last in ENDINGS]
PARTS = ["billing", "search", "mail", "stock", "tax", "login", "chat", "map", "video"]
KINDS = [*(f"the {part} service answered nonsense" for part in PARTS), "disk full"]
ALIKE, RARE = 5000, 50


def question(number: int) -> str:
    """A question like no other, but for its words."""
    return " ".join(random.Random(number).sample(WORDS, 9))


def kind_of(asked: str) -> str:
    """The failure of the trace with that question."""
    return _KIND_OF[asked]


def _message(number: int) -> str:
    return "the model endpoint is down" if number < ALIKE else KINDS[number % len(KINDS)]


_KIND_OF = {question(number): _message(number) for number in range(ALIKE + RARE)}


def facts(experiment_id: str, seed: int | None) -> list[dict[str, Any]]:
    """The facts of all, in order, or in another one."""
    numbers = list(range(ALIKE + RARE))
    if seed is not None:
        random.Random(seed).shuffle(numbers)
    return [failed(f"t{n}", _message(n), experiment_id=experiment_id) for n in numbers]


def contents(store: Store) -> None:
    landed(store, {f"t{n}": question(n) for n in range(ALIKE + RARE)})


def deliver(store: Store, uri: str) -> None:
    """Make messages of what is counted, and records of them, to the end."""
    follower(store).step(RULES, time.time_ns() // 1000)
    outbox = Outbox(store)
    sink = MlflowDatasets(uri, DatasetsConfig(), store, TraceTable(store.table("traces").uri))
    delivery = Delivery(sink, outbox)
    while outbox.count(sink.name):
        delivery.step(time.time_ns() // 1000)


if __name__ == "__main__":
    deliver(open_store(sys.argv[1]), sys.argv[2])
