"""Which tags a trace should bear and which datasets it should be in, as messages in the outbox.

Both follow from the trace's standing fact, from what it is evidence of, from the label that a person gave it
(``eval_candidate``), and from searches that put it into a dataset. A trace is decided again when a batch
touched it, when a person changed its label, when it became evidence, when a search put it into a dataset or
took it out, or when rules were applied to the past, and for no other reason: what ``undo`` took back stays so
until the trace is amended, a new episode or a search picks it, or `apply` reaches it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from rules.rule_set import RuleSet
from rules.tags import membership_of, tags_of
from rules.units import HOUR_US
from store import Store, net_facts
from store.apply_log import APPLY, ApplyLog
from store.content import TraceTable
from store.errors import TailLost
from store.outbox import EVIDENCE_CURSOR, Outbox, OutboxMessage, messages_cursor
from store.picks import Picks, picks_cursor
from store.tail import Tail
from store.whole_batches import WholeBatches
from tracesieve.alerts.evidence import APP as EVIDENCE
from tracesieve.datasets.evidence import evidence_after
from tracesieve.datasets.labels import Label, category_of, update
from tracesieve.datasets.selections import Contents, Selections
from tracesieve.datasets.sets import DatasetSets, default_sets

SLACK_US = HOUR_US  # an amendment may move a trace's start by this much
_IDLE_BATCHES = 200  # the cursor is committed after this many batches without a message
_NO_TRACES = pl.DataFrame(schema={"trace_id": pl.String, "start_us": pl.Int64})


@dataclass
class _Memory:
    """All that a step works on; rebuilt from the store at any time."""

    facts: WholeBatches
    labels: WholeBatches
    evidence: Tail
    committed: dict[str, int]  # by stream: the batch of the last committed cursor
    facts_to_do: pl.DataFrame | None  # of batches after that, which were whole at the start
    labels_to_do: pl.DataFrame | None  # the labels of those batches
    evidence_to_do: pl.DataFrame | None  # written before the start, without messages so far
    evidence_traces: set[str]  # every trace that is evidence
    label_of: dict[str, Label]  # by trace
    evidence_number: int  # of the last commit of evidence that was read
    picks: Picks  # by searches
    selections: Selections | None  # None: no sink takes memberships


@dataclass
class TagsAndMemberships:
    """Follows ``facts``, ``evidence`` and people's labels of one stream.

    Its cursors are committed together with its messages, so a message is in the outbox once, whatever is
    killed or repeated. ``tag_sinks`` and ``membership_sinks`` are the names of the sinks that get messages.
    ``contents`` is where requests are kept, the store's ``traces`` if not given.
    """

    store: Store
    outbox: Outbox
    stream_id: str
    tag_sinks: Sequence[str] = ()
    membership_sinks: Sequence[str] = ()
    sets: DatasetSets = field(default_factory=default_sets)
    contents: Contents | None = None
    _memory: _Memory | None = field(default=None, repr=False)

    def step(self, rule_set: RuleSet, now_us: int) -> int:
        """Decide on every trace that new whole batches touched and on new evidence; the number of new
        messages.
        """
        memory = self._memory or self._rebuilt()
        self._memory = None  # until this step is through: a failure leaves nothing half done behind
        try:
            _, facts = memory.facts.poll()
            _, labels = memory.labels.poll()
            commits = memory.evidence.poll()
        except TailLost:
            return self.step(rule_set, now_us)
        evidence = [commit.rows.select(_NO_TRACES.columns) for commit in commits]
        numbers = [commit.transactions.get(EVIDENCE, 0) for commit in commits]
        memory.evidence_number = max([memory.evidence_number, *numbers])
        for frame in evidence:
            memory.evidence_traces |= set(frame["trace_id"])
        if labels is not None:
            update(memory.label_of, labels)
        memory.facts_to_do = _concatenated(memory.facts_to_do, facts)
        memory.labels_to_do = _concatenated(memory.labels_to_do, labels)
        memory.evidence_to_do = _concatenated(memory.evidence_to_do, *evidence)
        enqueued = self._after_picks(memory, rule_set, now_us)
        enqueued += self._after_batches(memory, rule_set, now_us)
        enqueued += self._after_pieces(memory, rule_set, now_us)
        enqueued += self._after_evidence(memory, rule_set, now_us)
        memory.facts_to_do = memory.labels_to_do = memory.evidence_to_do = None
        self._memory = memory
        return enqueued

    def _after_batches(self, memory: _Memory, rule_set: RuleSet, now_us: int) -> int:
        batch, committed = memory.facts.through, memory.committed[self.stream_id]
        tagged, members = _touched(memory, rule_set, pl.col("stream_id") != APPLY)
        touched = tagged.height + members.height
        if batch < 0 or (not touched and batch - committed < _IDLE_BATCHES):
            return 0
        return self._enqueue(memory, rule_set, now_us, (self.stream_id, batch), (tagged, members))

    def _after_pieces(self, memory: _Memory, rule_set: RuleSet, now_us: int) -> int:
        """What was applied to the past: the traces that it changed, and all in its range that match, so that
        what `undo` took back comes back.
        """
        through, committed = memory.facts.applied_through, memory.committed[APPLY]
        if through <= committed:
            return 0
        changed = _touched(memory, rule_set, pl.col("stream_id") == APPLY)
        matching = self._in_pieces(memory, rule_set, range(committed + 1, through + 1))
        touched = [pl.concat(both).unique() for both in zip(changed, matching, strict=True)]
        return self._enqueue(memory, rule_set, now_us, (APPLY, through), (touched[0], touched[1]))

    def _in_pieces(
        self, memory: _Memory, rule_set: RuleSet, batch_ids: range
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The traces in the ranges of some pieces that rules match, and those that are in datasets."""
        log = ApplyLog(self.store)
        requests = {one.request_id: one for one in log.requests()}
        tagged, members = [_NO_TRACES], [_NO_TRACES]
        for piece in log.of_batches(batch_ids):
            request = requests.get(piece.request_id)
            within = (pl.col("end_us") >= piece.from_us) & (pl.col("end_us") < piece.to_us)
            columns = ["stream_id", "trace_id", "start_us", "weight", "hits"]
            rows = self.store.table("facts").read(columns, within & (pl.col("weight") > 0))
            if request is not None and request.rules:
                rows = rows.filter(_has_hit_of(request.rules))
            for frames, found in zip((tagged, members), _of_facts(memory, rows, rule_set), strict=True):
                frames.append(found)
        return pl.concat(tagged), pl.concat(members)

    def _enqueue(
        self,
        memory: _Memory,
        rule_set: RuleSet,
        now_us: int,
        cursor: tuple[str, int],
        touched: tuple[pl.DataFrame, pl.DataFrame],
    ) -> int:
        """Put the messages for touched traces into the outbox together with the cursor of their stream."""
        messages = self._messages(memory, rule_set, *touched)
        stream, batch = cursor
        enqueued = self.outbox.enqueue(messages, now_us, app_id=messages_cursor(stream), version=batch)
        memory.committed[stream] = batch
        return enqueued

    def _after_evidence(self, memory: _Memory, rule_set: RuleSet, now_us: int) -> int:
        if memory.evidence_to_do is None:
            return 0
        messages = self._messages(memory, rule_set, memory.evidence_to_do, memory.evidence_to_do)
        return self.outbox.enqueue(messages, now_us, app_id=EVIDENCE_CURSOR, version=memory.evidence_number)

    def _after_picks(self, memory: _Memory, rule_set: RuleSet, now_us: int) -> int:
        """What searches put into datasets and took out; each search by itself, in one commit."""
        enqueued = 0
        for one in memory.picks.open() if self.membership_sinks else ():
            messages = self._messages(memory, rule_set, _NO_TRACES, memory.picks.traces(one))
            enqueued += self.outbox.enqueue(messages, now_us, app_id=picks_cursor(one), version=1)
        return enqueued

    def _rebuilt(self) -> _Memory:
        table = self.store.table("evidence")
        tail = Tail(table)
        facts, labels = (
            WholeBatches(self.store, name, self.stream_id) for name in ("facts", "person_labels")
        )
        committed, new = {}, pl.lit(False)
        for stream in (self.stream_id, APPLY):
            cursor = self.store.table("outbox").app_version(messages_cursor(stream))
            committed[stream] = -1 if cursor is None else cursor
            new |= (pl.col("stream_id") == stream) & (pl.col("batch_id") > committed[stream])
        known_labels = labels.known(pl.lit(True))
        label_of: dict[str, Label] = {}
        update(label_of, known_labels)
        evidence = table.read(["trace_id", "start_us"])
        number = table.app_version(EVIDENCE) or 0
        done = self.store.table("outbox").app_version(EVIDENCE_CURSOR) or 0
        return _Memory(
            facts=facts,
            labels=labels,
            evidence=tail,
            committed=committed,
            facts_to_do=facts.known(new) if _is_behind(facts, committed) else None,
            labels_to_do=known_labels.filter(new),
            evidence_to_do=evidence_after(tail, done, evidence) if number > done else None,
            evidence_traces=set(evidence["trace_id"]),
            label_of=label_of,
            evidence_number=number,
            picks=Picks(self.store),
            selections=self._selections() if self.membership_sinks else None,
        )

    def _selections(self) -> Selections:
        contents = self.contents or TraceTable(self.store.table("traces").uri)
        return Selections(self.store, self.sets, contents, self.membership_sinks)

    def _messages(
        self, memory: _Memory, rule_set: RuleSet, tagged: pl.DataFrame, members: pl.DataFrame
    ) -> list[OutboxMessage]:
        """What the tags of some traces and the memberships of others, and of those that they displace, should
        be.
        """
        tagged = tagged if self.tag_sinks else _NO_TRACES
        members = members if self.membership_sinks else _NO_TRACES
        traces = pl.concat([tagged, members])
        if traces.is_empty():
            return []
        facts, evidence = self._standing(traces), self._rules_by_evidence(traces)
        messages = []
        for trace_id in sorted(set(tagged["trace_id"])):
            payload = tags_of(rule_set, trace_id, facts.get(trace_id), evidence[trace_id])
            messages += [OutboxMessage(sink, trace_id, payload) for sink in self.tag_sinks]
        decisions = {
            trace_id: membership_of(
                rule_set,
                trace_id,
                facts.get(trace_id),
                evidence[trace_id],
                category_of(memory.label_of, trace_id),
                memory.picks.of(trace_id),
            )
            for trace_id in sorted(set(members["trace_id"]))
        }
        if memory.selections is not None:
            chosen = memory.selections.decided(decisions, facts)
            messages += [
                OutboxMessage(sink, *one) for one in chosen.items() for sink in self.membership_sinks
            ]
        return messages

    def _standing(self, traces: pl.DataFrame) -> dict[str, dict[str, Any]]:
        """The standing facts of some traces, by trace."""
        start_us = pl.col("start_us")
        low, high = traces.select(low=start_us.min() - SLACK_US, high=start_us.max() + SLACK_US).row(0)
        where = start_us.is_between(low, high) & pl.col("trace_id").is_in(
            traces["trace_id"].unique().implode()
        )
        rows = net_facts(self.store.table("facts").read(where=where)).iter_rows(named=True)
        return {row["trace_id"]: row for row in rows}

    def _rules_by_evidence(self, traces: pl.DataFrame) -> dict[str, set[str]]:
        """The rules that some traces are evidence of, by trace."""
        where = pl.col("trace_id").is_in(traces["trace_id"].unique().implode())
        found: dict[str, set[str]] = defaultdict(set)
        for trace_id, rule in self.store.table("evidence").read(["trace_id", "rule"], where).iter_rows():
            found[trace_id].add(rule)
        return found


def _is_behind(facts: WholeBatches, committed: dict[str, int]) -> bool:
    through = {APPLY: facts.applied_through}
    return any(through.get(stream, facts.through) > batch for stream, batch in committed.items())


def _touched(memory: _Memory, rule_set: RuleSet, of_stream: pl.Expr) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The traces whose tags, and those whose memberships, new batches of a stream may have changed."""
    tagged, members = _NO_TRACES, [_NO_TRACES]
    if memory.facts_to_do is not None:
        facts = memory.facts_to_do.filter((pl.col("weight") != 0) & of_stream)  # 0 changes no fact
        tagged, of_facts = _of_facts(memory, facts, rule_set)
        members.append(of_facts)
    if memory.labels_to_do is not None:
        members.append(memory.labels_to_do.filter(of_stream).select(_NO_TRACES.columns))
    return tagged, pl.concat(members)


def _of_facts(memory: _Memory, facts: pl.DataFrame, rule_set: RuleSet) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The traces of some facts that may have tags, and those that may be in datasets."""
    # A withdrawn row copies the hits that it withdraws, so a trace that no longer matches is found too.
    counting = [rule.id for rule in rule_set.rules if not rule.tags_matches]
    tagging = pl.col("hits").list.eval(~pl.element().struct.field("rule").is_in(counting)).list.any()
    matched = facts.filter(tagging | pl.col("trace_id").is_in(list(memory.evidence_traces)))
    feeding = _has_hit_of([rule.id for rule in rule_set.rules if rule.dataset is not None])
    # A labelled or picked trace is in a dataset without any rule: the sink needs to know its amendments.
    without_rule = [*memory.label_of, *memory.picks.standing()]
    untagged = facts.filter(feeding | pl.col("trace_id").is_in(without_rule))
    columns = _NO_TRACES.columns
    return matched.select(columns), pl.concat([matched.select(columns), untagged.select(columns)])


def _has_hit_of(rules: Sequence[str]) -> pl.Expr:
    return pl.col("hits").list.eval(pl.element().struct.field("rule").is_in(list(rules))).list.any()


def _concatenated(*frames: pl.DataFrame | None) -> pl.DataFrame | None:
    some = [frame for frame in frames if frame is not None and frame.height]
    return pl.concat(some) if some else None
