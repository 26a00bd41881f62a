"""Matching many conditions against batches of raw columns; the same for live, backfill, dry run and rule
tests.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rules.dialect import Condition
from rules.matcher.evaluate import Evaluation
from rules.matcher.shared import shared


class Matcher:
    """Matches conditions against batches of raw columns; picklable, so that it travels to Spark's workers."""

    def __init__(self, conditions: Sequence[Condition]) -> None:
        self.conditions = tuple(conditions)
        self.columns = tuple(
            dict.fromkeys(column for condition in conditions for column in condition.columns)
        )
        self._nodes = tuple(dict.fromkeys(condition.node for condition in conditions))
        self._shared = shared(self._nodes)

    def evaluation(self, table: pa.Table) -> Evaluation:
        """A batch that knows what the conditions share; for those who read more of it than the hits."""
        return Evaluation(table, shared=self._shared)

    def hits(self, table: pa.Table | Evaluation) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Which conditions are TRUE, in SQL's sense, for which rows: pairs of row and condition, sorted.

        Returns:
            The rows and the indexes of the conditions, two arrays of one length.
        """
        batch = table if isinstance(table, Evaluation) else self.evaluation(table)
        rows_of = {node: np.flatnonzero(batch.where(node)) for node in self._nodes}
        found = [rows_of[condition.node] for condition in self.conditions]
        rows = np.concatenate(found) if found else np.array([], dtype=np.int64)
        indexes = np.repeat(np.arange(len(found), dtype=np.int64), [len(each) for each in found])
        order = np.argsort(rows, kind="stable")
        return rows[order], indexes[order]

    def match(self, table: pa.Table) -> npt.NDArray[np.bool_]:
        """The same as a ``[conditions, rows]`` array."""
        rows, indexes = self.hits(table)
        matched = np.zeros((len(self.conditions), table.num_rows), dtype=bool)
        matched[indexes, rows] = True
        return matched
