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

QUERY = "query"  # the stratum that is found here, from signatures


@dataclass
class _Unit:
    """Candidates of one pattern with equal inputs: ``sharing`` have the very same, the others differ in case
    or white space.
    """

    order: tuple[bytes, str]
    sharing: list[Candidate]
    others: list[Candidate]
    by_person: bool
    signature: bytes
    rules: frozenset[str] = field(init=False)
    day: int = field(init=False)
    rank: int = 0

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


def select(candidates: Iterable[Candidate], quotas: Quotas, keep: Sequence[str] = ()) -> Selection:
    """The members of a dataset, and why every other candidate is none; each trace id counts once.

    ``keep`` names the strata that get their fair share: names of ``Candidate.strata``, or ``query``, the kind
    of query. Quotas count units, of which there are at least as many as records.
    """
    found = list(candidates)
    left_out = {one.trace_id: "unapproved" for one in found if not one.approved}
    units = _units([one for one in found if one.approved])
    _rank(units, keep)
    room, kept = _Room(quotas), set[str]()
    for unit in sorted(units, key=lambda one: (not one.by_person, one.rank, one.order)):
        refusal = None if unit.by_person else room.refusal(unit)
        if refusal is None:
            room.take(unit)
            kept |= {one.trace_id for one in unit.sharing}
            left_out |= {one.trace_id: "duplicate" for one in unit.others}
        else:
            left_out |= {one.trace_id: refusal for one in (*unit.sharing, *unit.others)}
    return Selection(frozenset(kept), left_out)


def _units(candidates: Sequence[Candidate]) -> list[_Unit]:
    together: dict[tuple[str, str], list[Candidate]] = defaultdict(list)
    for one in candidates:
        together[one.inputs or f"trace {one.trace_id}", one.pattern].append(one)
    return [_unit(key, members) for key, members in together.items()]


def _unit(key: tuple[str, str], members: list[Candidate]) -> _Unit:
    """Of the inputs that differ in case or white space those with the least hash stand for all."""
    inputs, pattern = key
    if len(members) == 1:
        (first,), record = members, members[0].record
    else:
        first = min(members, key=lambda one: (not one.by_person, _hash(one.record), one.signature))
        record = first.record
    sharing = [one for one in members if one.record == record or one.by_person]
    others = [one for one in members if one.record != record and not one.by_person]
    by_person = any(one.by_person for one in sharing)
    return _Unit((_hash(inputs), pattern), sharing, others, by_person, first.signature)


def _rank(units: Sequence[_Unit], keep: Sequence[str]) -> None:
    """Set each unit's round: its least place in any of its classes."""
    kinds = query_kinds(unit.signature for unit in units) if QUERY in keep else {}
    named = [name for name in keep if name != QUERY]
    size: Counter[tuple[str, str]] = Counter()
    for unit in sorted(units, key=lambda one: one.order):
        classes = {("pattern", unit.pattern)}
        classes |= {(f"keep {name}", one.strata.get(name, "")) for name in named for one in unit.sharing}
        if QUERY in keep:
            classes.add((QUERY, kinds[unit.signature]))
        unit.rank = min(size[one] for one in classes)
        size.update(classes)


def _hash(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
