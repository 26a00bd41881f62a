"""The verdict history of one group of one rule, kept as data comes, whatever its order.

A fold remembers the state at some instants (marks).  Data of an earlier minute re-folds from the last mark
that it cannot have touched, and only until the state is again what it was; so that a late trace costs a few
instants, not days. What it says is always what ``rules.alerting.verdicts.history`` says of the same windows.
Instants before ``freeze`` are final.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping

from rules.alerting.verdicts import Look, State, Verdict, run
from rules.rule_set import WindowRule

EVERY = 64  # instants from one mark to the next
Looker = Callable[[range], Mapping[int, Look]]


class Fold:
    """One group's history on the grid of its rule; ``base_us`` is an instant of the grid, and the state there
    is final.
    """

    def __init__(self, rule: WindowRule, base_us: int, state: State | None = None) -> None:
        self.rule = rule
        self._at: list[int] = [base_us]
        self._states: list[State] = [state or State()]
        self.changes: list[Verdict] = []

    @property
    def base_us(self) -> int:
        """The instant up to which nothing is ever revised."""
        return self._at[0]

    @property
    def through_us(self) -> int:
        """The last instant that has been folded."""
        return self._at[-1]

    @property
    def state(self) -> State:
        """The state after that instant."""
        return self._states[-1]

    def advance(self, look: Looker, through_us: int, touched: tuple[int, int] | None = None) -> None:
        """Fold up to the last instant of the grid at or before ``through_us``.

        ``touched`` are the first and the last minute (starts, µs) whose sums changed since the last call: the
        instants whose windows hold any of those are folded again, and as many after them as it takes.
        """
        if touched is not None and touched[0] < self.through_us:
            self._again(look, touched)
        self._extend(look, self.through_us, through_us, self.state)

    def freeze(self, look: Looker, before_us: int, touching_us: int | None = None) -> None:
        """Make the state at the last instant before ``before_us`` final; call it before the sums change.

        That is put off where the minute that changes, ``touching_us``, lies after a mark which is not before
        that instant.
        """
        last = min(self._grid_before(before_us), self.through_us)
        reached = bisect_right(self._at, touching_us) - 1 if touching_us is not None else -1
        if last <= self.base_us or (reached >= 0 and self._at[reached] >= last):
            return
        place = bisect_right(self._at, last) - 1
        if self._at[place] < last:
            state, _ = run(
                self.rule,
                look(self._range(self._at[place], last)),
                self._range(self._at[place], last),
                self._states[place],
            )
            self._at.insert(place + 1, last)
            self._states.insert(place + 1, state)
            place += 1
        del self._at[:place], self._states[:place]

    def forget_before(self, instant_us: int) -> None:
        """Drop changes before an instant."""
        del self.changes[: bisect_left(self.changes, instant_us, key=lambda one: one.instant_us)]

    def _again(self, look: Looker, touched: tuple[int, int]) -> None:
        place = max(bisect_right(self._at, touched[0]) - 1, 0)
        last = max(touched[1] + self.rule.size_us, self._at[place])
        end = self.through_us
        stop = min(bisect_left(self._at, last), len(self._at) - 1)
        old_at, old_states = self._at[stop], self._states[stop]
        later = [change for change in self.changes if change.instant_us > old_at]
        tail = self._at[stop + 1 :], self._states[stop + 1 :]
        self._cut(place)
        self._extend(look, self.through_us, old_at, self.state)
        if self.state == old_states:
            self.changes += later
            self._at += tail[0]
            self._states += tail[1]
        else:
            self._extend(look, old_at, end, self.state)

    def _cut(self, place: int) -> None:
        """Forget everything after a mark."""
        del self._at[place + 1 :], self._states[place + 1 :]
        del self.changes[bisect_right(self.changes, self._at[-1], key=lambda one: one.instant_us) :]

    def _extend(self, look: Looker, after_us: int, through_us: int, state: State) -> None:
        whole = self._range(after_us, through_us)
        if not whole:
            return
        seen = look(whole)
        for i in range(0, len(whole), EVERY):
            part = whole[i : i + EVERY]
            state, changes = run(self.rule, seen, part, state)
            self.changes += changes
            if (
                len(self._at) > 1
                and self._at[-1] - self._at[-2] + len(part) * self.rule.every_us <= EVERY * self.rule.every_us
            ):
                self._at[-1], self._states[-1] = part[-1], state
            else:
                self._at.append(part[-1])
                self._states.append(state)

    def _range(self, after_us: int, through_us: int) -> range:
        """The instants of the grid in (after, through]."""
        every = self.rule.every_us
        return range(after_us // every * every + every, through_us + 1, every)

    def _grid_before(self, before_us: int) -> int:
        return -(-before_us // self.rule.every_us) * self.rule.every_us - self.rule.every_us
