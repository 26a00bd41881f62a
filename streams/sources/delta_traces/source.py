"""A Delta table of traces as a source: read in commit order, exactly once by the checkpoint, repeats
recognised by content.

The table has the shape of MLflow's unified trace view, one row a trace.  Deletes are counted, not applied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from deltalake import DeltaTable
from pydantic import Field

from store.batches import last_stream
from streams.checkpoint import checkpoint_of
from streams.sources.base import InitOffer, LeftOutCount, Probe, Source, SourcePlace
from streams.sources.delta_traces.offer import DeltaTracesOffer
from streams.sources.delta_traces.table import DeltaTracesTable

if TYPE_CHECKING:
    from store import Store


class DeltaTracesSource(Source):
    """``{kind: delta_traces, table: PATH, columns: {trace_id: my_id}}``; ``columns`` maps our names to the
    table's.
    """

    offer: ClassVar[InitOffer] = DeltaTracesOffer()

    kind: Literal["delta_traces"] = Field(
        default="delta_traces", description="a Delta table, one row a trace"
    )
    table: str = Field(description="its folder or URI; a relative path is relative to this file")
    columns: dict[str, str] = Field(
        default={}, description="our column: the table's, such as {trace_id: request_id}"
    )

    def query_table(self, place: SourcePlace) -> DeltaTracesTable:
        """The table itself."""
        return DeltaTracesTable(place.resolved(self.table), tuple(self.columns.items()))

    def left_out(self, store: Store, place: SourcePlace, now_us: int, horizon_us: int) -> LeftOutCount | None:
        """Of a table that no stream has read yet."""
        if last_stream(store) is not None:
            return None
        from streams.sources.delta_traces.left_out import rows_before

        column = self.columns.get("request_time", "request_time")
        uri = place.resolved(self.table)
        return LeftOutCount(lambda: rows_before(uri, column, now_us - horizon_us), by_horizon=True)

    def probe(self, place: SourcePlace, timeout_s: float) -> Probe:
        """Its version and its files.

        Raises:
            SourceError: see :meth:`DeltaTracesTable.check`.
        """
        table = self.query_table(place)
        table.check(checkpoint_of(place.store_path))
        delta = DeltaTable(table.uri)
        files = len(delta.file_uris())
        found = f"{table.uri}: version {delta.version()}, {files} files"
        return Probe(found, {"version": delta.version()})
