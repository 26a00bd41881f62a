"""The choice of a dataset's members among its candidates.

Candidates of one error pattern with equal inputs are one *unit*: they share a record. Units are looked at in
rounds: first those that are the first of any of their classes (the error pattern, and each stratum that is
to be kept), then the second ones, and so on. So each class gets its fair share, and rare ones come first
(water-filling). Within a class and a round the order is a hash of the inputs, so that a new candidate
displaces few others (bottom-k sampling: Cohen and Kaplan, "Summarizing data using bottom-k sketches", 2007).
A unit is taken as long as no quota of its is full. What a person named is looked at first and always taken.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from rules.selection.candidate import Candidate, Quotas, Selection
from rules.selection.near import NearDuplicates, query_kinds

_Key = tuple[str, str]  # normalised inputs, pattern
QUERY = "query"  # the stratum that is found here, from signatures


@dataclass(eq=False)
class _Unit:
    """Candidates of one pattern with equal inputs: ``sharing`` have the very same, the others differ in white
    space.
    """

    order: tuple[bytes, str]
    sharing: list[Candidate]
    others: list[Candidate]
    by_person: bool
    signature: bytes
    rules: frozenset[str] = field(init=False)
    day: int = field(init=False)

    def __post_init__(self) -> None:
        self.rules = frozenset(rule for one in self.sharing for rule in one.rules)
        self.day = min(one.day for one in self.sharing)

    @property
    def pattern(self) -> str:
        return self.order[1]


class _Room:
    """What the quotas still leave."""

    def __init__(self, quotas: Quotas) -> None:
        self._quotas = quotas
        self._taken: Counter[tuple[str, str | int]] = Counter()
        most = quotas.near_duplicates
        self._near = NearDuplicates(most) if most is not None else None

    def refusal(self, unit: _Unit) -> str | None:
        """Why there is no room for a unit: the narrowest quota that is full."""
        q = self._quotas
        bounds: list[tuple[str, str | int, int | None]] = []
        if unit.pattern:
            bounds.append(("pattern_quota", unit.pattern, q.per_pattern))
        bounds += [("rule_quota", rule, q.per_rule) for rule in unit.rules]
        bounds += [("day_quota", unit.day, q.per_day), ("total_quota", "", q.total)]
        for reason, key, most in bounds:
            if most is not None and self._taken[reason, key] >= most:
                return reason
        if self._near is not None and self._near.is_full(unit.pattern, unit.signature):
            return "near_duplicate"
        return None

    def take(self, unit: _Unit) -> None:
        self._taken["pattern_quota", unit.pattern] += 1
        self._taken["day_quota", unit.day] += 1
        self._taken["total_quota", ""] += 1
        self._taken.update(("rule_quota", rule) for rule in unit.rules)
        if self._near is not None:
            self._near.accept(unit.pattern, unit.signature)


class Chooser:
    """Candidates of one dataset that come and go, and the choice among them.

    The choice is made twice by the same quotas: among the units of each day, then among those that came
    through. So one more candidate costs a look at its day and, where that changes, at those of all days, not
    at every candidate there ever was.
    """

    def __init__(self, quotas: Quotas, keep: Sequence[str] = ()) -> None:
        self._quotas, self._keep = quotas, keep
        self._candidates: dict[str, Candidate] = {}
        self._together: dict[_Key, dict[str, Candidate]] = {}
        self._units: dict[_Key, _Unit] = {}
        self._days: dict[int, set[_Key]] = defaultdict(set)
        self._through: dict[int, _Choice] = {}  # by day
        self._stale: set[int] = set()  # days
        self._last: _Choice | None = None
        self._kept: frozenset[str] = frozenset()

    def put(self, candidate: Candidate) -> None:
        """Take a candidate in, in the place of one with the same trace id."""
        if self._candidates.get(candidate.trace_id) == candidate:
            return
        self.remove(candidate.trace_id)
        self._candidates[candidate.trace_id] = candidate
        if candidate.approved:
            key = _key(candidate)
            self._together.setdefault(key, {})[candidate.trace_id] = candidate
            self._renew(key)

    def remove(self, trace_id: str) -> None:
        """Take a candidate out, if it is one."""
        before = self._candidates.pop(trace_id, None)
        if before is not None and before.approved:
            key = _key(before)
            del self._together[key][trace_id]
            self._renew(key)

    def kept(self) -> frozenset[str]:
        """The members by trace id."""
        changed = self._last is None
        for day in sorted(self._stale):
            before = self._through.pop(day, None)
            if self._days[day]:
                self._through[day] = _chosen([self._units[key] for key in self._days[day]], *self._wanted)
            now = self._through.get(day)
            changed |= (before and before.same) != (now and now.same)
        self._stale.clear()
        if changed:
            through = [unit for choice in self._through.values() for unit in choice.taken]
            self._last = _chosen(through, *self._wanted)
            self._kept = frozenset(one.trace_id for unit in self._last.taken for one in unit.sharing)
        return self._kept

    def selection(self) -> Selection:
        """The members, and why every other candidate is none."""
        kept = self.kept()
        left_out = {one.trace_id: "unapproved" for one in self._candidates.values() if not one.approved}
        for choice in (*self._through.values(), self._last):
            for unit, refusal in choice.refused if choice else ():
                left_out |= {one.trace_id: refusal for one in (*unit.sharing, *unit.others)}
        for unit in self._last.taken if self._last else ():
            left_out |= {one.trace_id: "duplicate" for one in unit.others}
        return Selection(kept, left_out)

    @property
    def _wanted(self) -> tuple[Quotas, Sequence[str]]:
        return self._quotas, self._keep

    def _renew(self, key: _Key) -> None:
        """Make the unit of a key again, whose candidates have changed."""
        before = self._units.pop(key, None)
        if before is not None:
            self._days[before.day].discard(key)
            self._stale.add(before.day)
        if members := self._together[key]:
            unit = self._units[key] = _unit(key, list(members.values()))
            self._days[unit.day].add(key)
            self._stale.add(unit.day)
        else:
            del self._together[key]


@dataclass(frozen=True)
class _Choice:
    """The units that were taken, and those that were not, with why."""

    taken: list[_Unit]
    refused: list[tuple[_Unit, str]]

    @property
    def same(self) -> list[int]:
        """What is equal for choices of the same units; a unit that changes is a new one."""
        return sorted(map(id, self.taken))


def select(candidates: Iterable[Candidate], quotas: Quotas, keep: Sequence[str] = ()) -> Selection:
    """The members of a dataset, and why every other candidate is none; each trace id counts once.

    ``keep`` names the strata that get their fair share: names of ``Candidate.strata``, or ``query``, the kind
    of query. Quotas count units, of which there are at least as many as records.
    """
    chooser = Chooser(quotas, keep)
    for one in candidates:
        chooser.put(one)
    return chooser.selection()


def _chosen(units: Sequence[_Unit], quotas: Quotas, keep: Sequence[str]) -> _Choice:
    rank = _ranks(units, keep)
    room, taken = _Room(quotas), []
    refused: list[tuple[_Unit, str]] = []
    for unit in sorted(units, key=lambda one: (not one.by_person, rank[one.order], one.order)):
        refusal = None if unit.by_person else room.refusal(unit)
        if refusal is None:
            room.take(unit)
            taken.append(unit)
        else:
            refused.append((unit, refusal))
    return _Choice(taken, refused)


def _key(candidate: Candidate) -> _Key:
    return candidate.inputs or f"trace {candidate.trace_id}", candidate.pattern


def _unit(key: _Key, members: list[Candidate]) -> _Unit:
    """Of the inputs that differ in white space those with the least hash stand for all."""
    inputs, pattern = key
    first = members[0]
    if len(members) > 1:
        first = min(members, key=lambda one: (not one.by_person, _hash(one.record)))
    sharing = [one for one in members if one.record == first.record or one.by_person]
    others = [one for one in members if one.record != first.record and not one.by_person]
    by_person = any(one.by_person for one in sharing)
    return _Unit((_hash(inputs), pattern), sharing, others, by_person, first.signature)


def _ranks(units: Sequence[_Unit], keep: Sequence[str]) -> dict[tuple[bytes, str], int]:
    """Each unit's round, by its order: its least place in any of its classes."""
    kinds = query_kinds(unit.signature for unit in units) if QUERY in keep else {}
    named = [name for name in keep if name != QUERY]
    size: Counter[tuple[str, str]] = Counter()
    ranks = {}
    for unit in sorted(units, key=lambda one: one.order):
        classes = {("pattern", unit.pattern)}
        classes |= {(f"keep {name}", one.strata.get(name, "")) for name in named for one in unit.sharing}
        if QUERY in keep:
            classes.add((QUERY, kinds[unit.signature]))
        ranks[unit.order] = min(size[one] for one in classes)
        size.update(classes)
    return ranks


def _hash(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
