"""What lint checks of a window rule as written: durations on the grid of its instants, and conditions that
can never hold together with all else that the rule says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from rules.diagnostics import Diagnostic
from rules.dialect import compile_condition
from rules.dialect.contradictions import never_true, range_of
from rules.dialect.nodes import Compare, Logic, Node, fields_of
from rules.dialect.ranges import Range
from rules.dialect.reachability import Given, never_holds
from rules.errors import ConditionError
from rules.kinds.alert_keys import check_by, check_minutes, written_us
from rules.units import MINUTE_US, seconds_text

_FAILED, _NOT_FAILED, _NO_STATUS = (
    compile_condition(text).node for text in ("status = 'ERROR'", "status <> 'ERROR'", "status IS NULL")
)
_DURATIONS = ("execution_time_ms", "execution_duration_ms", "execution_time")


def check_window(item: Mapping[str, Any], group_by: Sequence[str]) -> Iterator[Diagnostic]:
    """What is wrong with a window rule besides its shape and its single conditions."""
    window = item.get("window")
    window = window if isinstance(window, dict) else {}
    yield from check_by(window.get("by"), ("window", "by"), group_by)
    yield from check_minutes(window, ("window",), ("size", "every"))
    every = written_us(window.get("every", "1m")) or MINUTE_US
    for name in ("for", "keep_firing_for"):
        if (written_us(item.get(name)) or 0) % every:
            hint = f"use a multiple of {seconds_text(every)}, at which the rule is evaluated"
            message = f"`{name}` is not on the grid of the rule's instants"
            yield Diagnostic("grid", message, hint, path=(name,))
    yield from _conditions(item)


def _conditions(item: Mapping[str, Any]) -> Iterator[Diagnostic]:
    given = _given(item)
    fire, clear = (_node(item.get(name), "measure") for name in ("fire", "clear"))
    held = True
    for name, node in (("fire", fire), ("clear", clear)):
        if node is not None and (reason := never_holds(node, given)):
            held = False
            yield Diagnostic("never-true", f"`{name}` can never hold: {reason}", path=(name,))
    if held and fire is not None and clear is not None and _overlap(fire, clear, given):
        yield Diagnostic(
            "clear-overlaps",
            "`clear` can hold while `fire` does: the alert would end and begin again",
            "let it hold only where `fire` does not",
            "warning",
            path=("clear",),
        )


def _node(text: Any, kind: Literal["trace", "measure"]) -> Node | None:
    """The tree of a condition; None where there is none, or one with faults, which are reported elsewhere."""
    if not isinstance(text, str):
        return None
    try:
        return compile_condition(text, kind=kind).node
    except ConditionError:
        return None


def _given(item: Mapping[str, Any]) -> Given:
    """What the rule says of the windows for which its conditions count."""
    least = item.get("min_traces")
    min_traces = least if isinstance(least, int) and not isinstance(least, bool) and least > 1 else 1
    where = _node(item.get("where"), "trace")
    if where is None:
        return Given(min_traces)
    errors = "some"
    if never_true(Logic("AND", (where, _FAILED))):
        errors = "none"
    elif all(never_true(Logic("AND", (where, one))) for one in (_NOT_FAILED, _NO_STATUS)):
        errors = "all"
    duration_ms = Range()
    for name in _DURATIONS:
        duration_ms = duration_ms.within(Range(*range_of(where, name)))
    return Given(min_traces, errors, duration_ms)


def _overlap(fire: Node, clear: Node, given: Given) -> bool:
    """Whether two comparisons of one measure can hold at once; False where that cannot be decided."""
    nodes = (fire, clear)
    if not all(isinstance(node, Compare) for node in nodes):
        return False
    if len({str(one) for node in nodes for one in fields_of(node)}) != 1:
        return False
    return not never_holds(Logic("AND", nodes), given)
