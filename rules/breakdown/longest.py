"""The spans that take most of a trace's critical path, those that only call others left out."""

from __future__ import annotations

from collections.abc import Mapping

from rules.breakdown.totals import Pair, Total

WRAPPERS = frozenset({"forward", "predict", "root"})  # frameworks name what only calls others so


def short_name(name: str) -> str:
    """What stands after the last dot: ``app.tools.search`` is ``search``."""
    return name.rpartition(".")[2] or name


def longest(of_pairs: Mapping[Pair, Total]) -> tuple[Pair, float] | None:
    """The type and name that take most of the critical path, and their share of it, 0 to 1; None where
    nothing is known of it.
    """
    whole = sum(total.sums["critical_us"] for total in of_pairs.values())
    usable = {pair: one for pair, one in of_pairs.items() if short_name(pair[1]).lower() not in WRAPPERS}
    if not usable or not whole:
        return None
    pair, most = max(usable.items(), key=lambda item: (item[1].sums["critical_us"], item[0]))
    return pair, most.sums["critical_us"] / whole
