"""Which decided traces are members of datasets: a choice among all candidates, and the messages that follow.

What was decided of a trace is written to the pool of candidates first, then the messages go to the outbox
together with the follower's cursor. A crash between the two repeats the step: the same decisions are made
again, and messages are compared with the newest ones of the outbox, not with what memory holds, so that none
is lost or made twice.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, Protocol

import polars as pl
import pyarrow as pa

from rules.failures import masked
from rules.selection import Features, features
from sinks.mlflow.provenance import parsed
from store import Store, StoreError, net_facts
from store.outbox import last_messages
from tracesieve.datasets.pool import Pool, Row
from tracesieve.datasets.sets import DatasetSets

log = logging.getLogger("tracesieve.datasets")
LEFT_OUT = "left_out"  # the key of a withdrawal that made room for another trace: `undo` writes none
_AT_ONCE = 1000  # traces whose content is read together
_UNKNOWN: Row = {"record": None, "inputs": None, "signature": None}
Decisions = Mapping[str, Mapping[str, Any]]  # by trace: see ``rules.tags.membership_of``


class Contents(Protocol):
    """Where requests and responses are kept."""

    def contents(self, starts_us: Mapping[str, int]) -> dict[str, tuple[str | None, str | None]]:
        """Request and response by trace id, given the start of each; those that are gone are left out."""
        ...


@dataclass
class Selections:
    """The choice of one follower; rebuilt from the store at any time."""

    store: Store
    sets: DatasetSets
    contents: Contents
    sinks: Sequence[str]
    pool: Pool = field(init=False)
    _sent: dict[str, frozenset[str]] = field(init=False)  # by trace: the datasets that its message names
    _inside: dict[str, set[str]] = field(init=False)  # by dataset: the traces whose message names it
    _unread: set[str] = field(default_factory=set, init=False)  # whose content could not be read

    def __post_init__(self) -> None:
        self.pool = Pool(self.store, self.sets)
        newest = {
            target: json.loads(payload)
            for target, payload in last_messages(self.store, self.sinks)
            .select("target", "newest")
            .iter_rows()
        }
        self._sent, self._inside = {}, defaultdict(set)
        for trace_id, payload in newest.items():
            self._note(trace_id, payload)
        self._forget_what_was_taken_back(newest)
        older = {
            trace_id: one
            for trace_id, one in newest.items()
            if self._sent[trace_id] and self.pool.row(trace_id) is None and "end_us" in one
        }
        if older:  # of a program that knew no candidates
            self._put(older, self._facts_of(older))

    def decided(self, decisions: Decisions, facts: Mapping[str, Row]) -> dict[str, dict[str, Any]]:
        """The messages that follow from what was decided of some traces: those of these traces, and of others
        that enter or leave a dataset because of them.
        """
        touched = {name for trace_id in decisions for name in self.pool.sets_of(trace_id)}
        self._put(decisions, facts)
        touched |= {name for trace_id in decisions for name in self.pool.sets_of(trace_id)}
        return self._messages(touched, decisions)

    def renewed(self) -> dict[str, dict[str, Any]]:
        """The messages that make every dataset hold what the present config chooses, where it was another one
        when its candidates were decided.
        """
        return self._messages(set(self.pool.names()), {})

    def _messages(self, touched: Set[str], decisions: Decisions) -> dict[str, dict[str, Any]]:
        """The messages of traces that were decided, and of those that enter or leave the datasets
        ``touched``.
        """
        members = {name: self.pool.members(name) for name in sorted(touched)}
        changed = set(decisions)
        for name, kept in members.items():
            inside = {one for one in self._inside[name] if name in self.pool.sets_of(one)}
            changed |= kept ^ inside
        messages = {}
        for trace_id in sorted(changed):
            payload = self._payload(trace_id, decisions.get(trace_id), members)
            if payload["categories"] or trace_id in self._sent:
                messages[trace_id] = payload
                self._note(trace_id, payload)
        return messages

    def _note(self, trace_id: str, payload: Mapping[str, Any]) -> None:
        """Remember the newest message of a trace."""
        for name in self._sent.get(trace_id, ()):
            self._inside[name].discard(trace_id)
        self._sent[trace_id] = frozenset(payload.get("categories") or {})
        for name in self._sent[trace_id]:
            self._inside[name].add(trace_id)

    def _payload(
        self, trace_id: str, decision: Mapping[str, Any] | None, members: Mapping[str, Set[str]]
    ) -> dict[str, Any]:
        """The message of a trace: the datasets that it is a member of."""
        whole = self.pool.decision(trace_id)
        if whole is None:
            return dict(decision or {"trace_id": trace_id, "categories": {}})
        sent = self._sent.get(trace_id, frozenset())
        fed = self.pool.sets_of(trace_id)
        categories = {
            name: entry
            for name, entry in fed.items()
            if (trace_id in members[name] if name in members else name in sent)
        }
        payload = {**whole, "trace_id": trace_id, "categories": categories}
        return payload if categories else {**payload, LEFT_OUT: sorted(fed)}

    def _put(self, decisions: Decisions, facts: Mapping[str, Row]) -> None:
        """Write what was decided into the pool, with all that the choice depends on."""
        known = {trace_id: self.pool.row(trace_id) for trace_id in decisions}
        wanted = {
            trace_id: int(decision["start_us"])
            for trace_id, decision in decisions.items()
            if decision["categories"] and self._is_news(known[trace_id], facts.get(trace_id), trace_id)
        }
        found = self._read(wanted)
        texts = _pattern_texts(facts[trace_id] for trace_id in decisions if trace_id in facts)
        rows = []
        for trace_id, decision in decisions.items():
            before, fact = known[trace_id], facts.get(trace_id)
            row = _row(trace_id, decision, fact, texts)
            if before is not None and not decision["categories"]:
                row["end_us"] = before["end_us"]  # it is to be kept as long as what it takes back
            if trace_id in found:
                row |= vars(found[trace_id])
            elif before is not None and trace_id not in wanted:
                row |= {key: before[key] for key in _UNKNOWN}
            rows.append(row)
        self.pool.put(rows)

    def _is_news(self, before: Row | None, fact: Row | None, trace_id: str) -> bool:
        """Whether the inputs of a trace are to be read: they were not, or are those of another content."""
        if before is None or trace_id in self._unread:
            return True
        return fact is not None and before["content_hash"] != fact["content_hash"]

    def _read(self, starts_us: Mapping[str, int]) -> dict[str, Features]:
        """The features of the inputs of traces; none of those that are gone. Where the trace table cannot be
        read they are looked for again when the trace is decided next, or at the next start.
        """
        found: dict[str, Features] = {}
        ids = sorted(starts_us, key=lambda one: (starts_us[one], one))
        for begin in range(0, len(ids), _AT_ONCE):
            part = {trace_id: starts_us[trace_id] for trace_id in ids[begin : begin + _AT_ONCE]}
            try:
                contents = self.contents.contents(part)
            except StoreError as error:
                log.warning("inputs are not compared for duplicates now: %s", error)
                self._unread |= part.keys()
                continue
            self._unread -= part.keys()
            found |= {trace_id: _features(request) for trace_id, (request, _) in contents.items()}
        return found

    def _forget_what_was_taken_back(self, newest: Mapping[str, Mapping[str, Any]]) -> None:
        """What `undo` took back is no candidate until it is decided again."""
        taken_back = [
            {**row, "decision": _decision(trace_id, {"categories": {}})}
            for trace_id, one in newest.items()
            if not one.get("categories")
            and LEFT_OUT not in one
            and (row := self.pool.row(trace_id)) is not None
        ]
        self.pool.put(taken_back)

    def _facts_of(self, decisions: Decisions) -> dict[str, Row]:
        ids = pl.Series(list(decisions), dtype=pl.String)
        rows = self.store.table("facts").read(where=pl.col("trace_id").is_in(ids.implode()))
        return {row["trace_id"]: row for row in net_facts(rows).iter_rows(named=True)}


def _features(request: str | None) -> Features:
    value = parsed(request)
    return features(value if isinstance(value, dict) else {"input": value})


def _row(trace_id: str, decision: Mapping[str, Any], fact: Row | None, texts: Mapping[str, str]) -> Row:
    """A trace as the table of candidates has it, its inputs unknown; ``fact`` is None where that expired."""
    failure = json.loads(fact["failure"]) if fact is not None and fact.get("failure") else None
    of_fact = fact or {}
    return {
        "trace_id": trace_id,
        "end_us": decision.get("end_us", 0),
        "decision": _decision(trace_id, decision),
        "content_hash": of_fact.get("content_hash"),
        "outcome": "error" if of_fact.get("error") else "handled" if failure is not None else "ok",
        "duration_us": of_fact.get("duration_us"),
        "group_by": of_fact.get("group_by") or [],
        "group": of_fact.get("group") or [],
        "pattern": failure and failure["pattern"],
        "error_type": failure and failure["error_type"],
        "pattern_text": failure and texts[failure["message"]],
        **_UNKNOWN,
    }


def _decision(trace_id: str, decision: Mapping[str, Any]) -> str:
    return json.dumps({**decision, "trace_id": trace_id}, sort_keys=True)


def _pattern_texts(facts: Any) -> dict[str, str]:
    """The masked messages of the failures of facts, by message."""
    failures = [json.loads(fact["failure"]) for fact in facts if fact.get("failure")]
    messages = pl.Series(sorted({one["message"] for one in failures}), dtype=pl.String)
    patterns = masked(messages.to_arrow().cast(pa.string())).to_pylist()
    return dict(zip(messages.to_list(), patterns, strict=True))
