"""Conditions on the measures of a window: their truth, and the threshold that a measure is compared with."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from rules.dialect import Condition
from rules.dialect.nodes import Compare, Field, Literal_, Logic, Node, Not
from rules.matcher.evaluate import Evaluation
from rules.matcher.values import Bools, Numbers


def evaluate_measure(condition: Condition, measures: Mapping[str, float | None]) -> bool | None:
    """A window rule's condition on the measures of one window; None where it is null."""
    one_row = pa.table({"trace_id": pa.array([None], pa.string())})
    return Evaluation(one_row, measures).result(condition.node, scope="measure")


def evaluate_measures(
    condition: Condition, measures: Mapping[str, Numbers], size: int
) -> tuple[Bools, Bools]:
    """The same over ``size`` windows at once, every measure a column with NaN for null: where it is TRUE,
    where FALSE.
    """
    many = Evaluation(pa.table({"trace_id": pa.nulls(size, pa.string())}), measures)
    return many.where(condition.node, True, "measure"), many.where(condition.node, False, "measure")


def threshold_of(condition: Condition, measure: str) -> float | None:
    """The first constant that ``measure`` is compared with, in the order of the text; None if there is
    none.
    """
    return _threshold(condition.node, measure)


def _threshold(node: Node, measure: str) -> float | None:
    if isinstance(node, Compare):
        for one, other in ((node.left, node.right), (node.right, node.left)):
            if isinstance(one, Field) and one.name == measure and isinstance(other, Literal_):
                return float(other.value) if isinstance(other.value, float) else None
        return None
    parts: tuple[Node, ...] = (
        node.parts if isinstance(node, Logic) else (node.part,) if isinstance(node, Not) else ()
    )
    return next((found for part in parts if (found := _threshold(part, measure)) is not None), None)
