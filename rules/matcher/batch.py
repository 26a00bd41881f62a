"""One batch of raw columns: each is taken out, encoded and parsed once, however many fields read it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rules.matcher import values as v
from rules.matcher.json_column import JsonColumn


class Batch:
    """The raw columns of a batch.

    Values of spans and assessments are flat, one item after the other; :meth:`parent` says to which row each
    belongs.
    """

    def __init__(self, table: pa.Table) -> None:
        self._table = table
        self._columns: dict[str, pa.Array] = {}
        self._texts: dict[str, v.Texts] = {}
        self._objects: dict[str, JsonColumn] = {}
        self._parents: dict[str, npt.NDArray[np.int64]] = {}

    @property
    def rows(self) -> int:
        """How many traces (or windows) there are."""
        return int(self._table.num_rows)

    def has(self, name: str) -> bool:
        """Whether the batch has that raw column."""
        return name in self._table.column_names

    def size(self, scope: str) -> int:
        """How many items there are in a scope: trace, measure, spans or assessments."""
        return self.rows if scope in ("trace", "measure") else len(self.parent(scope))

    def parent(self, scope: str) -> npt.NDArray[np.int64]:
        """For each span (or assessment), the row it belongs to."""
        if scope not in self._parents:
            name = next((n for n in self._table.column_names if n.startswith(f"{scope}.")), None)
            lengths = (
                pc.fill_null(pc.list_value_length(self._column(name)), 0)
                if name
                else pa.array([], pa.int32())
            )
            counts = lengths.to_numpy(zero_copy_only=False)
            self._parents[scope] = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
        return self._parents[scope]

    def flat(self, name: str) -> pa.Array:
        """A raw column; the items of a list column one after the other."""
        column = self._column(name)
        lists = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
        return column.flatten() if lists else column

    def texts(self, name: str) -> v.Texts:
        """A raw column as codes into its distinct words."""
        if name not in self._texts:
            self._texts[name] = v.texts(self.flat(name))
        return self._texts[name]

    def objects(self, name: str) -> JsonColumn:
        """The distinct words of a raw column of JSON objects, parsed."""
        if name not in self._objects:
            self._objects[name] = JsonColumn(self.texts(name).arrow)
        return self._objects[name]

    def _column(self, name: str) -> pa.Array:
        if name not in self._columns:
            column = self._table[name]
            if isinstance(column, pa.ChunkedArray):
                column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
            self._columns[name] = column
        return self._columns[name]
