"""Verdicts: the tables ``verdicts`` and ``evidence`` kept equal to what windows and facts say, up to an
instant.

The histories live in memory, rebuilt from the store at the start and whenever the rules change, and moved on
by the partials of each batch that has become whole. What is appended is the difference to what the table
says, so that the next pass repairs a crash at any point, and a pass with nothing new writes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from rules.alerting.contract import AlertRule, AlertState, Phase
from rules.alerting.verdicts import Verdict
from rules.rule_set import RuleSet
from rules.units import MINUTE_US
from store import Store
from store.apply_log import APPLY
from store.errors import TailLost
from store.rule_sets import RuleSets
from store.whole_batches import WholeBatches
from tracesieve.alerts.applied import Applied
from tracesieve.alerts.episodes import Episode, Group, RuleGroup, episode_id
from tracesieve.alerts.evidence import Evidence
from tracesieve.alerts.histories import Histories
from tracesieve.alerts.verdict_log import Row, VerdictLog, identity

# The application whose version is the last instant evaluated; "late" is measured against it.
INSTANTS = "instants"
_FORGET_US = 60 * MINUTE_US


@dataclass
class _Memory:
    """All that a step works on; rebuilt from the store at any time."""

    rule_set_hash: str
    arrivals: WholeBatches
    histories: Histories
    log: VerdictLog
    evidence: Evidence
    through_us: int  # the last instant that was committed
    rule_sets_with: dict[str, set[str]]  # by rule hash: the rule sets that hold the rule
    applied: Applied
    forgot_us: int = 0


@dataclass
class Verdicts:
    """One stream's verdicts; its cursor, the last batch it has taken, is committed with what it writes."""

    store: Store
    stream_id: str
    revise_us: int
    _memory: _Memory | None = field(default=None, repr=False)

    def step(self, rule_set: RuleSet, through_us: int, now_us: int) -> int:
        """Bring the tables up to the last whole minute at or before ``through_us``; the number of rows
        written.
        """
        try:
            fresh = self._memory is None or self._memory.rule_set_hash != rule_set.hash
            memory = self._rebuilt(rule_set, through_us) if self._memory is None or fresh else self._memory
            self._memory = None  # until this step is through: a failure in it leaves nothing half-done behind
            written = self._step(memory, rule_set, through_us, now_us, fresh=fresh)
            self._memory = memory
            return written
        except TailLost:
            self._memory = None
            return self.step(rule_set, through_us, now_us)

    def evaluated(self) -> set[str]:
        """The rules (hashes) of the present pack that have been evaluated since they were loaded."""
        return (
            self._memory.histories.evaluated(self._memory.through_us) if self._memory is not None else set()
        )

    def arrived_us(self) -> int | None:
        """The greatest arrival time among the rows whose windows have been taken."""
        return self._memory.arrivals.arrived_us if self._memory is not None else None

    def held_us(self, rule_hash: str, group: Group) -> int | None:
        """The last instant at which the condition of a firing group held."""
        state = self._memory.histories.state((rule_hash, group)) if self._memory is not None else None
        return state.held_until_us if state is not None else None

    def quiet_us(self, rule: AlertRule, now_us: int) -> int:
        """Up to when an alert of this rule may come of rules that were applied to the past (SEMANTICS 32)."""
        if self._memory is None:
            return 0
        return self._memory.applied.quiet_us(rule, rule.hash in self._memory.histories.begun(), now_us)

    def _step(self, memory: _Memory, rule_set: RuleSet, through_us: int, now_us: int, *, fresh: bool) -> int:
        through = max(through_us // MINUTE_US * MINUTE_US, memory.through_us)
        ends, windows = memory.arrivals.poll()
        applied = {end["batch_id"] for end in ends if end["stream_id"] == APPLY}
        if not fresh and windows is None and not applied and through == memory.through_us:
            return 0
        if windows is not None:
            memory.histories.take(windows, through - self.revise_us)
            _load(memory, ends, windows.filter(pl.col("stream_id") != APPLY))
        if applied:
            _reach(memory, applied)
        moved = memory.histories.advance(through)
        if fresh:
            moved |= {key for key in memory.log.known() if key[0] in memory.histories.rules}
        changes = [row for key in moved for row in self._difference(memory, key, now_us)]
        written = memory.evidence.write(_new_episodes(memory.histories, changes))
        if fresh:
            changes += _superseded(memory, rule_set, through, now_us)
        if changes or through > memory.through_us:
            marks = {INSTANTS: through}
            if memory.arrivals.through >= 0:
                marks[f"verdicts:{self.stream_id}"] = memory.arrivals.through
            self.store.table("verdicts").append(changes, metadata={"instant_us": str(through)}, marks=marks)
            memory.log.follow()
            memory.through_us = through
        if through - memory.forgot_us >= _FORGET_US:
            memory.histories.forget()
            memory.forgot_us = through
        return written + len(changes)

    def _difference(self, memory: _Memory, key: RuleGroup, now_us: int) -> list[Row]:
        """What must be appended for a rule and group, so that what is not final equals its history."""
        try:
            base, changes = memory.histories.changes(key)
        except KeyError:  # no data and nothing that goes on: all that is not final is withdrawn
            base, changes = memory.histories.first_us - 1, []
        rule = memory.histories.rules[key[0]]
        want = {identity(row): row for row in (_row(rule, key[1], change, now_us) for change in changes)}
        have = {identity(row): row for row in memory.log.rows(key) if row["instant_us"] > base}
        rows = [{**row, "weight": -1, "written_us": now_us} for name, row in have.items() if name not in want]
        return rows + [row for name, row in want.items() if name not in have]

    def _rebuilt(self, rule_set: RuleSet, through_us: int) -> _Memory:
        """Everything from the store: partials of whole batches, standing verdicts, and where each rule's
        history begins.
        """
        arrivals, log = WholeBatches(self.store, "windows", self.stream_id), VerdictLog(self.store)
        log.follow()
        committed = self.store.table("verdicts").app_version(INSTANTS) or 0
        through = max(through_us // MINUTE_US * MINUTE_US, committed)
        first, rules = through - self.revise_us, {rule.hash: rule for rule in rule_set.alert_rules}
        final = {}
        episodes = set()
        for key in log.known():
            rows = log.rows(key)
            before = [row for row in rows if row["instant_us"] < first]
            if before and key[0] in rules and rows[0]["by"] == list(rules[key[0]].by):
                final[key] = _state_after(rules[key[0]], before[-1], first)
            episodes |= {episode_id(*key, row["instant_us"]) for row in rows if row["state"] == "firing"}
        evidence = Evidence(self.store)
        evidence.picked(episodes)
        rule_sets_with = RuleSets(self.store).holding(rule_set.alert_rules)
        longest = max((rule.lookback_us + rule.every_us for rule in rule_set.alert_rules), default=0)
        windows = arrivals.known(pl.col("start_us") >= first - longest)
        begins, applied = _begins(arrivals.ends, rule_sets_with, windows), Applied(self.store)
        begins |= applied.reached(begins, rules, rule_sets_with)
        histories = Histories(rule_set, first, final, begins)
        histories.take(windows, first)
        sets, forgot_us = rule_sets_with, through
        return _Memory(rule_set.hash, arrivals, histories, log, evidence, committed, sets, applied, forgot_us)


def _state_after(rule: AlertRule, row: Row, at_us: int) -> AlertState:
    """The state that a final verdict left behind at ``at_us``."""
    phase: Phase = row["state"] if row["state"] in ("pending", "firing") else "inactive"
    state: AlertState = rule.resumed(phase, row["since_us"], row["instant_us"], at_us)
    return state


def _new_episodes(histories: Histories, changes: Sequence[Row]) -> list[Episode]:
    """The steps to firing among new verdicts, of rules whose evidence is tagged."""
    found = []
    for row in changes:
        rule = histories.rules[row["rule_hash"]]
        if row["weight"] > 0 and row["state"] == "firing" and rule.evidence is not None:
            group, instant_us = tuple(row["group"]), row["instant_us"]
            choice = histories.evidence_choice((rule.hash, group), instant_us)
            found.append(Episode(rule, group, instant_us, choice))
    return found


def _row(rule: AlertRule, group: Group, change: Verdict, now_us: int) -> Row:
    return {
        "weight": 1,
        "rule": rule.id,
        "rule_hash": rule.hash,
        "by": list(rule.by),
        "group": list(group),
        "instant_us": change.instant_us,
        "state": change.state.phase,
        "since_us": change.state.since_us,
        "value": change.value,
        "traces": change.traces,
        "errors": change.errors,
        "written_us": now_us,
    }


def _superseded(memory: _Memory, rule_set: RuleSet, through: int, now_us: int) -> list[Row]:
    """The end of what was going on under rules that are edited or gone (SEMANTICS 18)."""
    by_id = {rule.id: list(rule.by) for rule in rule_set.alert_rules}
    rows = []
    for key in memory.log.known():
        if key[0] in memory.histories.rules:
            continue
        last = memory.log.rows(key)[-1]
        if last["state"] in ("pending", "firing"):
            # With other keys there is no group any more that could go on with this alert.
            state = "regrouped" if by_id.get(last["rule"], last["by"]) != last["by"] else "superseded"
            rows.append(
                {
                    **last,
                    "weight": 1,
                    "state": state,
                    "instant_us": max(through, last["instant_us"]),
                    "since_us": last["since_us"],
                    "written_us": now_us,
                }
            )
    return rows


def _begins(
    ends: pl.DataFrame, rule_sets_with: dict[str, set[str]], windows: pl.DataFrame
) -> dict[str, int | None]:
    """The minute in which each rule's history begins; a rule that the store's first batch had is left out: it
    has all.
    """
    begins: dict[str, int | None] = {}
    for rule, rule_sets in rule_sets_with.items():
        loaded = ends.filter(pl.col("rule_set_hash").is_in(list(rule_sets)))
        if ends.height and rule_sets and ends["rule_set_hash"][0] not in rule_sets:
            begins[rule] = None
            if loaded.height:
                since = ends.filter(pl.col("now_us") >= loaded["now_us"].min()).select(
                    "stream_id", "batch_id"
                )
                earliest = windows.join(since, on=["stream_id", "batch_id"], how="semi")["start_us"].min()
                begins[rule] = earliest if isinstance(earliest, int) else None
    return begins


def _reach(memory: _Memory, batch_ids: Collection[int]) -> None:
    """Requests that are done with these batches of `apply` move the beginnings of histories back."""
    begins, rules = memory.histories.begins(), memory.histories.rules
    for rule, at_us in memory.applied.reached(begins, rules, memory.rule_sets_with, batch_ids).items():
        memory.histories.loaded({rule}, at_us)


def _load(memory: _Memory, ends: list[dict[str, Any]], windows: pl.DataFrame) -> None:
    """A batch that has loaded a rule moves the beginning of its history back to its own earliest minute."""
    waiting = memory.histories.begun()
    if not waiting:
        return
    in_force = {end["rule_set_hash"] for end in ends if end["stream_id"] != APPLY}
    earliest = windows["start_us"].min()
    if isinstance(earliest, int):
        loaded = {rule for rule in waiting if memory.rule_sets_with.get(rule, set()) & in_force}
        memory.histories.loaded(loaded, earliest)
