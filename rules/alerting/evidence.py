"""Evidence as a choice: which facts of a window are behind an alert, and which of them come first (SEMANTICS
17).

A choice is plain data over columns of the table ``facts``; ``tracesieve/alerts/evidence.py`` executes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, cast

FactColumn = Literal[
    "end_us",
    "error",
    "duration_us",
    "tokens_total",
    "tokens_input",
    "tokens_output",
    "tokens_cache_read",
    "tokens_cache_write",
    "cost_nusd",
]
Bound = Literal[">", ">=", "<", "<="]
_COLUMNS: dict[str, FactColumn] = {
    "errors": "error",
    "error_rate": "error",
    "tokens": "tokens_total",
    "tokens.input": "tokens_input",
    "tokens.output": "tokens_output",
    "tokens.cache_read": "tokens_cache_read",
    "tokens.cache_write": "tokens_cache_write",
    "cost_usd": "cost_nusd",
}


class FactFilter(NamedTuple):
    """Facts whose ``column`` compares with ``value`` (a truth, or a number in the column's unit)."""

    column: FactColumn
    op: Literal["="] | Bound
    value: bool | float


@dataclass(frozen=True)
class EvidenceChoice:
    """The traces of a group that ended within ``within_us`` before the instant, filtered, then ordered.

    Attributes:
        filters: all of them must hold; a null passes none.
        order_by: the column by which they are ordered; nulls come last, ties are broken by trace id.
        largest_first: the direction of that order.
        hit: only traces with this rule hash among their hits; ``""``: all.
    """

    within_us: int
    order_by: FactColumn
    largest_first: bool = True
    filters: tuple[FactFilter, ...] = ()
    hit: str = ""


def choice_of_measure(
    measure: str,
    within_us: int,
    hit: str = "",
    *,
    large: bool = True,
    demand: tuple[str, float] | None = None,
) -> EvidenceChoice:
    """The traces that made a measure of a window large, or small.

    Of errors the failed traces, the newest first; of latency the slowest beyond what was demanded of the
    measure (an operator and a bound in ms); of tokens and cost the largest; of traffic the slowest.
    """
    column = _COLUMNS.get(measure, "duration_us")
    if column == "error":
        return EvidenceChoice(within_us, "end_us", True, (FactFilter("error", "=", large),), hit)
    if measure == "traces":
        return EvidenceChoice(within_us, column, True, (), hit)
    filters: tuple[FactFilter, ...] = ()
    if column == "duration_us" and demand is not None and demand[0] in (">", ">=", "<", "<="):
        filters = (FactFilter(column, cast(Bound, demand[0]), demand[1] * 1000),)
    return EvidenceChoice(within_us, column, large, filters, hit)
