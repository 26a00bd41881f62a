"""The verdict history of one group of one rule, kept up to date as data arrives in any order.

A fold remembers the state at some instants (snapshots). When the sums of an earlier minute change, it folds
again from the last snapshot that cannot have seen that minute, and stops where the state is again what it
was. So a late trace costs a few instants, not days. The result is always that of
``rules.alerting.verdicts.history`` over the same windows. Instants up to ``base_us`` are final.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from rules.alerting.contract import AlertRule, AlertState
from rules.alerting.verdicts import Verdict, folded
from rules.alerting.windows import WindowReader

SNAPSHOT_EVERY = 64  # instants from one snapshot to the next


class Fold:
    """One group's history on the grid of its rule; ``base_us`` is an instant of the grid, and the state there
    is final.
    """

    def __init__(self, rule: AlertRule, base_us: int, state: AlertState | None = None) -> None:
        self.rule = rule
        self._at: list[int] = [base_us]
        self._states: list[AlertState] = [rule.initial if state is None else state]
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
    def state(self) -> AlertState:
        """The state after that instant."""
        return self._states[-1]

    @property
    def base_state(self) -> AlertState:
        """The state at ``base_us``."""
        return self._states[0]

    def advance(self, windows: WindowReader, through_us: int, touched: tuple[int, int] | None = None) -> None:
        """Fold up to the last instant of the grid at or before ``through_us``.

        ``touched`` are the first and the last minute (starts, µs) whose sums changed since the last call: the
        instants whose windows hold any of those are folded again, and as many after them as it takes.
        """
        if touched is not None and touched[0] < self.through_us:
            self._refold(windows, touched)
        self._extend(windows, self.through_us, through_us, self.state)

    def freeze(self, windows: WindowReader, before_us: int, touching_us: int | None = None) -> None:
        """Make the state at the last instant before ``before_us`` final; call it before the sums change.

        ``touching_us`` is the first minute that is about to change. Where a snapshot at or after that
        instant lies before that minute, nothing that is to be final can change yet: it is frozen later.
        """
        last = min(self._grid_before(before_us), self.through_us)
        reached = bisect_right(self._at, touching_us) - 1 if touching_us is not None else -1
        if last <= self.base_us or (reached >= 0 and self._at[reached] >= last):
            return
        place = bisect_right(self._at, last) - 1
        if self._at[place] < last:
            instants = self._range(self._at[place], last)
            evaluations = self.rule.evaluate(windows, instants)
            state, _ = folded(self.rule, evaluations, instants, self._states[place])
            self._at.insert(place + 1, last)
            self._states.insert(place + 1, state)
            place += 1
        del self._at[:place], self._states[:place]

    def forget_before(self, instant_us: int) -> None:
        """Drop changes before an instant."""
        del self.changes[: bisect_left(self.changes, instant_us, key=lambda one: one.instant_us)]

    def _refold(self, windows: WindowReader, touched: tuple[int, int]) -> None:
        place = max(bisect_right(self._at, touched[0]) - 1, 0)
        last = max(touched[1] + self.rule.lookback_us, self._at[place])
        end = self.through_us
        stop = min(bisect_left(self._at, last), len(self._at) - 1)
        stop_us, stop_state = self._at[stop], self._states[stop]
        later = [change for change in self.changes if change.instant_us > stop_us]
        later_at, later_states = self._at[stop + 1 :], self._states[stop + 1 :]
        self._cut(place)
        self._extend(windows, self.through_us, stop_us, self.state)
        if self.state == stop_state:
            self.changes += later
            self._at += later_at
            self._states += later_states
        else:
            self._extend(windows, stop_us, end, self.state)

    def _cut(self, place: int) -> None:
        """Forget everything after a snapshot."""
        del self._at[place + 1 :], self._states[place + 1 :]
        del self.changes[bisect_right(self.changes, self._at[-1], key=lambda one: one.instant_us) :]

    def _extend(self, windows: WindowReader, after_us: int, through_us: int, state: AlertState) -> None:
        whole = self._range(after_us, through_us)
        if not whole:
            return
        evaluations = self.rule.evaluate(windows, whole)
        longest_us = SNAPSHOT_EVERY * self.rule.every_us
        for i in range(0, len(whole), SNAPSHOT_EVERY):
            part = whole[i : i + SNAPSHOT_EVERY]
            state, changes = folded(self.rule, evaluations, part, state)
            self.changes += changes
            if (
                len(self._at) > 1
                and self._at[-1] - self._at[-2] + len(part) * self.rule.every_us <= longest_us
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
