"""A Delta table of traces as what the query reads.

It is read with ``ignoreChanges``, so that MERGE, UPDATE and OPTIMIZE are survived: what they rewrite comes
again and is a duplicate or an amendment.  Each part of its history is read with the schema that it had then
(Delta's schema tracking): where the schema changes, the query ends and starts anew, and a change stops it
only where a start on the table as it then is would be refused.  What would fail later, or silently count
wrong, is refused before anything starts.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import pyarrow as pa
from deltalake import Schema

from streams.delta_log import Arrivals, arrivals, schema_changes
from streams.errors import SourceError
from streams.sources.base import QueryTable
from streams.sources.delta_traces.columns import present, problems
from streams.sources.delta_traces.opening import open_table

log = logging.getLogger(__name__)
_SCHEMAS = "schema"  # in the checkpoint: which schema the stream has come to
_GOES_ON = "then the next run goes on where this one stopped"


@dataclass(frozen=True)
class DeltaTracesTable(QueryTable):
    """A table that others write, one row a trace."""

    @property
    def label(self) -> str:
        """The key of the config, and the table."""
        return f"source.table: {self.uri}"

    def check(self, checkpoint: str, counted_through_us: int | None = None) -> None:
        """See what can be seen without Spark.

        Raises:
            SourceError: it is not a Delta table (a view has none), or needs a feature that no reader here
                has; columns are missing or of the wrong type, all of them named, with the version since when;
                it is not the table that the checkpoint has read, or versions of it are gone.
        """
        schema = pa.schema(open_table("source.table", self.uri).schema().to_arrow())
        found = problems(schema, dict(self.columns))
        if found:
            since = self._since(checkpoint)
            raise SourceError(f"{self.label}: {'; '.join(found)}{since}")
        super().check(checkpoint, counted_through_us)

    def _since(self, checkpoint: str) -> str:
        """Which version made a table that was read before one that cannot be; empty where none is known."""
        for version in schema_changes(self.uri, checkpoint):
            if problems(arrow_schema(version.schema or ""), dict(self.columns)):
                return (
                    f", since its version {version.number} ({version.operation}): correct the table or "
                    f"`source.columns`, {_GOES_ON}"
                )
        return ""

    def reader_options(self, checkpoint: str) -> dict[str, str]:
        """Also: the schema of each part is kept in the checkpoint, whatever changes is let through, and
        :meth:`as_read` looks at it.
        """
        allowed = (f"allowSourceColumn{change}" for change in ("Rename", "Drop", "TypeChange"))
        return {
            **super().reader_options(checkpoint),
            "schemaTrackingLocation": f"{checkpoint}/{_SCHEMAS}",
            **dict.fromkeys(allowed, "always"),
        }

    def as_read(self, schema: str, before: str | None) -> DeltaTracesTable:
        """This table with the columns of the part that is read now; what it has no more is logged.

        A column that was renamed to what the config now says has its former name, ours, in the part before.

        Raises:
            SourceError: columns of that part are missing or of the wrong type, though the table as it is now
                has them.
        """
        part = arrow_schema(schema)
        columns = {
            ours: theirs for ours, theirs in self.columns if theirs in part.names or ours not in part.names
        }
        if found := problems(part, columns):
            raise SourceError(
                f"{self.label}: {'; '.join(found)} in versions that are still to be read, though not in the "
                "table as it is now: `tracesieve run --rebuild` reads that against the facts that are there"
            )
        if before is not None and schema != before:
            log.info("%s: its schema changed; reading goes on with the new one", self.label)
            lost = present(arrow_schema(before), columns) - present(part, columns)
            if lost:
                hint = "traces from now on have none (one that was renamed can be mapped: source.columns)"
                log.warning("%s: %s was dropped or renamed; %s", self.label, ", ".join(sorted(lost)), hint)
        return replace(self, columns=tuple(columns.items()))

    def arrivals(self, checkpoint: str, batch_id: int, files: list[str]) -> Arrivals:
        """When the files were committed, by the table's log."""
        return arrivals(self.uri, checkpoint, batch_id, files)

    def needed_version(self, checkpoint: str) -> int | None:
        """None: nothing of the store's table ``traces`` is known to be needless."""
        return None


def arrow_schema(schema: str) -> pa.Schema:
    """A schema of a Delta log, or of Spark, from its JSON."""
    return pa.schema(Schema.from_json(schema).to_arrow())
