"""Conditions on the measures of windows."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from rules.dialect import Condition
from rules.matcher.evaluate import Evaluation
from rules.matcher.values import Numbers


def evaluate_measure(condition: Condition, measures: Mapping[str, float | None]) -> bool | None:
    """A condition on the measures of one window; None where it is null."""
    one_row = pa.table({"trace_id": pa.array([None], pa.string())})
    return Evaluation(one_row, measures).result(condition.node, scope="measure")


def measured(measures: Mapping[str, Numbers], size: int) -> Evaluation:
    """``size`` windows as the rows of a batch, every measure a column with NaN for null.

    Conditions on measures, and parts of them, are evaluated on it in the scope ``measure``.
    """
    return Evaluation(pa.table({"trace_id": pa.nulls(size, pa.string())}), measures)
