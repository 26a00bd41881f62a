"""Wishes: the tags a trace should bear and the datasets it should be in, from its standing fact and its
evidence.

A trace is looked at when a batch touched it, when a person said of what category it is, or when it became
evidence, and never for another reason: what ``undo`` took back stays so until the trace is amended or a new
episode picks it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import polars as pl

from rules.rule_set import RuleSet
from rules.tags import membership_of, tags_of
from store import Store, net_facts
from store.outbox import Outbox, OutboxMessage
from store.tail import Tail, TailLost
from store.whole_batches import WholeBatches
from tracesieve.alerts.evidence import APP as EVIDENCE

SLACK_US = 3_600_000_000  # an amendment may move a trace's start by this much
_IDLE_BATCHES = 200  # without anything to wish for, the cursor is committed this often
_EVIDENCE_CURSOR = "wishes:evidence"
_NONE = pl.DataFrame(schema={"trace_id": pl.String, "start_us": pl.Int64})


@dataclass
class _Memory:
    facts: WholeBatches
    spoken: WholeBatches
    evidence: Tail
    committed: int  # the batch of the last cursor that was committed
    touched: pl.DataFrame | None  # facts of batches after that, which were whole at the start
    said: pl.DataFrame | None  # and what people said in those
    picked: pl.DataFrame | None  # evidence that was written and not wished for before the start
    traces: set[str]  # all that is evidence
    candidates: dict[
        str, tuple[int, int, str | None]
    ]  # what a person said last: when it arrived, the batch's time, the category
    number: int  # of the last commit of evidence that was seen


@dataclass
class TagsAndMemberships:
    """Follows ``facts`` and ``evidence`` of one stream; its cursors are committed with the wishes."""

    store: Store
    outbox: Outbox
    stream_id: str
    tags: bool = True
    datasets: bool = False
    _memory: _Memory | None = field(default=None, repr=False)

    def step(self, rule_set: RuleSet, now_us: int) -> int:
        """Wish for every trace that whole batches touched, and for new evidence; the number of new wishes."""
        memory = self._memory or self._rebuilt()
        self._memory = None  # until this step is through
        try:
            _, facts = memory.facts.poll()
            _, said = memory.spoken.poll()
            commits = memory.evidence.poll()
        except TailLost:
            return self.step(rule_set, now_us)
        picked = [commit.rows for commit in commits if commit.rows.height]
        memory.number = max([memory.number, *(commit.transactions.get(EVIDENCE, 0) for commit in commits)])
        for frame in picked:
            memory.traces |= set(frame["trace_id"])
        if said is not None:
            _hear(memory.candidates, said)
        made = self._touched(
            memory, rule_set, _joined(memory.touched, facts), _joined(memory.said, said), now_us
        )
        made += self._evidence(memory, rule_set, _joined(memory.picked, *picked), now_us)
        memory.touched = memory.said = memory.picked = None
        self._memory = memory
        return made

    def _touched(
        self,
        memory: _Memory,
        rule_set: RuleSet,
        facts: pl.DataFrame | None,
        said: pl.DataFrame | None,
        now_us: int,
    ) -> int:
        batch = memory.facts.through
        tagged, members = [_NONE], [_NONE]
        facts = (
            facts.filter(pl.col("weight") != 0) if facts is not None else None
        )  # those only say what was seen
        if facts is not None:
            # A withdrawn row copies the hits it withdraws, so a trace that no longer matches is among them.
            counted = [rule.id for rule in rule_set.window_rules]
            tagging = pl.col("hits").list.eval(~pl.element().struct.field("rule").is_in(counted)).list.any()
            found = facts.filter(tagging | pl.col("trace_id").is_in(list(memory.traces))).select(
                _NONE.columns
            )
            tagged.append(found)
            # A trace that people speak of is in a dataset without a rule: whatever amends it is for the sink
            # to hear.
            members += [
                found,
                facts.filter(pl.col("trace_id").is_in(list(memory.candidates))).select(_NONE.columns),
            ]
        if said is not None:
            members.append(said.select(_NONE.columns))
        concerned = sum(frame.height for frame in (*tagged, *members))
        if batch < 0 or (not concerned and batch - memory.committed < _IDLE_BATCHES):
            return 0
        messages = self._messages(memory, rule_set, pl.concat(tagged), pl.concat(members))
        made = self.outbox.enqueue(messages, now_us, app_id=f"wishes:{self.stream_id}", version=batch)
        memory.committed = batch
        return made

    def _evidence(self, memory: _Memory, rule_set: RuleSet, rows: pl.DataFrame | None, now_us: int) -> int:
        if rows is None:
            return 0
        messages = self._messages(memory, rule_set, rows.select(_NONE.columns), rows.select(_NONE.columns))
        return self.outbox.enqueue(messages, now_us, app_id=_EVIDENCE_CURSOR, version=memory.number)

    def _rebuilt(self) -> _Memory:
        tail = Tail(self.store.table("evidence"))
        facts, spoken = (WholeBatches(self.store, name, self.stream_id) for name in ("facts", "candidates"))
        cursor = self.store.table("outbox").app_version(f"wishes:{self.stream_id}")
        committed = -1 if cursor is None else cursor
        new = (pl.col("stream_id") == self.stream_id) & (pl.col("batch_id") > committed)
        touched = facts.known(new) if facts.through > committed else None
        said = spoken.known(pl.lit(True))
        candidates: dict[str, tuple[int, int, str | None]] = {}
        _hear(candidates, said)
        rows = self.store.table("evidence").read(["trace_id", "start_us"])
        number = self.store.table("evidence").app_version(EVIDENCE) or 0
        seen = self.store.table("outbox").app_version(_EVIDENCE_CURSOR) or 0
        picked = _picked_after(tail, seen, rows) if number > seen else None
        return _Memory(
            facts,
            spoken,
            tail,
            committed,
            touched,
            said.filter(new),
            picked,
            set(rows["trace_id"]),
            candidates,
            number,
        )

    def _messages(
        self, memory: _Memory, rule_set: RuleSet, tagged: pl.DataFrame, members: pl.DataFrame
    ) -> list[OutboxMessage]:
        """What the tags of some traces and the memberships of others should be."""
        tagged, members = tagged if self.tags else _NONE, members if self.datasets else _NONE
        concerned = pl.concat([tagged, members])
        low, high = concerned["start_us"].min(), concerned["start_us"].max()
        if not isinstance(low, int) or not isinstance(high, int):
            return []
        wanted = pl.col("trace_id").is_in(concerned["trace_id"].unique().implode())
        near = pl.col("start_us").is_between(low - SLACK_US, high + SLACK_US)
        standing = {
            row["trace_id"]: row
            for row in net_facts(self.store.table("facts").read(where=near & wanted)).to_dicts()
        }
        evidence: dict[str, set[str]] = defaultdict(set)
        for trace_id, rule in self.store.table("evidence").read(["trace_id", "rule"], wanted).iter_rows():
            evidence[trace_id].add(rule)
        messages = []
        for trace_id in sorted(set(tagged["trace_id"])):
            messages.append(
                OutboxMessage(
                    "mlflow_tags",
                    trace_id,
                    tags_of(rule_set, trace_id, standing.get(trace_id), evidence[trace_id]),
                )
            )
        for trace_id in sorted(set(members["trace_id"])):
            candidate = memory.candidates.get(trace_id, (0, 0, None))[2]
            payload = membership_of(rule_set, trace_id, standing.get(trace_id), evidence[trace_id], candidate)
            messages.append(OutboxMessage("mlflow_datasets", trace_id, payload))
        return messages


def _joined(*frames: pl.DataFrame | None) -> pl.DataFrame | None:
    there = [frame for frame in frames if frame is not None and frame.height]
    return pl.concat(there) if there else None


def _hear(candidates: dict[str, tuple[int, int, str | None]], rows: pl.DataFrame) -> None:
    """Take in what people said: the last to arrive stands."""
    for trace_id, arrived, now, candidate in rows.select(
        "trace_id", "arrived_us", "now_us", "candidate"
    ).iter_rows():
        said = (arrived or 0, now or 0, candidate)
        if trace_id not in candidates or said[:2] >= candidates[trace_id][:2]:
            candidates[trace_id] = said


def _picked_after(tail: Tail, number: int, rows: pl.DataFrame) -> pl.DataFrame:
    """The evidence of the commits after that number; all there is where the log no longer tells."""
    found: list[pl.DataFrame] = []
    try:
        for commit in tail.back():
            if (of_commit := commit.transactions.get(EVIDENCE)) is not None:
                if of_commit <= number:
                    return pl.concat(found) if found else rows.clear()
                found.append(commit.rows.select("trace_id", "start_us"))
                if of_commit == 1:
                    return pl.concat(found)
    except TailLost:
        pass  # compacted since
    return rows
