"""At least once, so in effect exactly once: takes back every tag and dataset record that was ever enqueued.

It goes through the outbox: a withdrawal is enqueued for each target, so that a crash half-way is finished by
the next attempt, and what a person set or edited is left as the sinks themselves leave it.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from sinks.base import Payload
from sinks.delivery import Delivery
from sinks.drain import drain
from sinks.errors import SinkError
from sinks.registry import class_of
from sinks.shown import Holding
from store import Store
from store.outbox import Outbox, OutboxMessage

IDLE_S = 60.0


@dataclass(frozen=True)
class Part:
    """What is to be taken back of the traces of one experiment ("" where that is not known)."""

    experiment: str
    traces: int
    tags: int
    records: int
    assessments: int = 0
    issues: int = 0


@dataclass(frozen=True)
class Plan:
    """What is to be taken back: by experiment, and the number of records by the name of the dataset, which
    several experiments may have (``places``: how many datasets there are).

    A record of traces of two experiments counts in both of them, and once in the total.
    """

    parts: tuple[Part, ...]
    datasets: dict[str, int]
    places: int = 0

    @property
    def tags(self) -> int:
        """How many tags there are."""
        return sum(part.tags for part in self.parts)

    @property
    def assessments(self) -> int:
        """How many assessments there are."""
        return sum(part.assessments for part in self.parts)

    @property
    def issues(self) -> int:
        """How many issues there are; each is of one experiment."""
        return sum(part.issues for part in self.parts)

    @property
    def traces(self) -> int:
        """How many traces bear them, are in datasets, or are linked to issues."""
        return sum(part.traces for part in self.parts)

    @property
    def records(self) -> int:
        """How many records there are."""
        return sum(self.datasets.values())

    @property
    def things(self) -> int:
        """How many tags, assessments, issues and records there are."""
        return self.tags + self.assessments + self.issues + self.records

    def as_json(self) -> dict[str, Any]:
        """The plan as plain JSON data."""
        return {
            "tags": self.tags,
            "traces": self.traces,
            "assessments": self.assessments,
            "issues": self.issues,
            "records": self.records,
            "datasets": self.datasets,
            "experiments": [vars(part) for part in self.parts],
        }


@dataclass(frozen=True)
class Undone:
    """How many withdrawals were enqueued, how many deliveries still wait, and the datasets that were deleted.

    ``reason``: why deliveries wait, or why empty datasets could not be deleted.
    """

    withdrawn: int
    waiting: int
    reason: str = ""
    removed: tuple[str, ...] = ()


def plan(store: Store) -> Plan:
    """What :func:`undo` would take back, from the store alone."""
    delivered = _delivered(store)
    classes = {name: sink for name in withdrawing(store) if (sink := class_of(name)) is not None}
    holdings = [
        one for name, sink in classes.items() for one in sink.holdings(store, delivered.get(name, {}))
    ]
    experiment_of = _experiments(store, {one.trace_id for one in holdings})
    # An issue is of one experiment, also where the facts of some of its traces are gone.
    known = [one for one in holdings if one.kind == "issue" and one.trace_id in experiment_of]
    of_issue = {one.thing: experiment_of[one.trace_id] for one in known}
    by_experiment: dict[str, list[Holding]] = defaultdict(list)
    for one in holdings:
        by_experiment[experiment_of.get(one.trace_id) or of_issue.get(one.thing, "")].append(one)
    parts = [_part(name, found) for name, found in sorted(by_experiment.items())]
    records = {(one.place, one.thing) for one in holdings if one.kind == "record"}
    counts = Counter(place for place, _ in records)
    places = {one.place_id for one in holdings if one.kind == "record"}
    return Plan(tuple(parts), dict(sorted(counts.items())), len(places))


def _part(experiment: str, holdings: Sequence[Holding]) -> Part:
    things = {(one.kind, one.thing) for one in holdings}
    kinds = Counter(kind for kind, _ in things)
    traces = len({one.trace_id for one in holdings})
    return Part(experiment, traces, kinds["tag"], kinds["record"], kinds["assessment"], kinds["issue"])


def _delivered(store: Store) -> dict[str, dict[str, Payload]]:
    """What was last delivered, by sink and target, where that was no withdrawal."""
    acks = store.table("deliveries").read(["key"], pl.col("outcome") == "delivered")
    messages = store.table("outbox").read(["key", "seq", "sink", "target", "payload"])
    last = (
        messages.join(acks, on="key", how="semi")
        .sort("seq")
        .unique(["sink", "target"], keep="last", maintain_order=True)
    )
    found: dict[str, dict[str, Payload]] = defaultdict(dict)
    for sink, target, text in last.select("sink", "target", "payload").iter_rows():
        payload, of_sink = json.loads(text), class_of(sink)
        if of_sink is not None and not of_sink.is_withdrawal(payload):
            found[sink][target] = payload
    return found


def _experiments(store: Store, trace_ids: Collection[str]) -> dict[str, str]:
    """The names of the experiments of traces, as they were counted."""
    rows = store.table("facts").read(["trace_id", "experiment"], pl.col("trace_id").is_in(list(trace_ids)))
    return dict(rows.drop_nulls().iter_rows())


def withdrawing(store: Store) -> list[str]:
    """The sinks that the outbox ever named and that can take back what they delivered."""
    named = store.table("outbox").read(["sink"])["sink"].unique().sort()
    return [name for name in named if (sink := class_of(name)) is not None and sink.withdraws]


def withdrawals(store: Store) -> list[OutboxMessage]:
    """The withdrawal of every target that the outbox ever named, for each sink that can take it back."""
    sinks = {name: sink for name in withdrawing(store) if (sink := class_of(name)) is not None}
    targets = store.table("outbox").read(["sink", "target"], pl.col("sink").is_in(list(sinks)))
    return [
        OutboxMessage(name, target, sinks[name].withdrawal(target))
        for name, target in sorted(set(targets.iter_rows()))
    ]


def undo(store: Store, deliveries: Sequence[Delivery], clock: Callable[[], int], seconds: float) -> Undone:
    """Enqueue every withdrawal and deliver for up to ``seconds``, as long as any is taken back within
    :data:`IDLE_S`; then remove what is empty by that. Nothing new the second time.
    """
    outbox = Outbox(store)
    withdrawn = outbox.enqueue(withdrawals(store), clock())
    waiting = drain(deliveries, outbox, clock, seconds, idle_s=IDLE_S)
    if waiting:
        return Undone(
            withdrawn, waiting, "; ".join(dict.fromkeys(one.reason for one in deliveries if one.reason))
        )
    removed: list[str] = []
    reason = ""
    try:
        for delivery in deliveries:
            removed += delivery.sink.remove_empty()
    except SinkError as error:
        reason = str(error)
    return Undone(withdrawn, waiting, reason, tuple(removed))
