"""Opening a table that the config or the command line names: what it is not, and what to write instead."""

from __future__ import annotations

import re
from pathlib import Path

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from streams.errors import SourceError
from streams.sources.delta_traces.features import refuse_unknown

# `catalog.schema.table`, `schema.table`, with or without backticks; a path has a slash.
_PART = r"(`[^`]+`|[\w-]+)"
_DOTTED = re.compile(rf"{_PART}(\.{_PART}){{1,2}}")


def open_table(key: str, table: str) -> DeltaTable:
    """The table as it is now; ``key`` is where it is named.

    Raises:
        SourceError: it is not there, a name in a catalog, a view or a folder of other files; it needs a
            feature that cannot be read here; it cannot be opened.
    """
    label = f"{key}: {table}"
    if "://" not in table and not Path(table).exists():
        name = Path(table).name
        if _DOTTED.fullmatch(name):
            raise SourceError(f"{key}: {_of_catalog(name)}")
        raise SourceError(f"{label} does not exist")
    try:
        found = DeltaTable(table)
    except TableNotFoundError as error:
        hint = "a view cannot be streamed: name its base tables"
        raise SourceError(f"{label} is not a Delta table ({hint})") from error
    except DeltaError as error:  # maybe of a feature that delta-rs does not know either
        refuse_unknown(label, table)
        raise SourceError(f"{label} cannot be read: {error}") from error
    except OSError as error:
        raise SourceError(f"{label} cannot be read: {error}") from error
    refuse_unknown(label, table, found.protocol().reader_features or [])
    return found


def _of_catalog(name: str) -> str:
    """What to write instead of a table's name in a catalog."""
    return (
        f"{name} is a name in a catalog, and a path is wanted: write the `location` that "
        f"`DESCRIBE DETAIL {name}` shows, such as s3://bucket/traces, of a table that this machine may read "
        "where it lies. "
        "A view has none, and cannot be streamed: name its base tables (`SHOW CREATE TABLE`), or write it "
        "into a table. To run on the cluster that has the catalog see docs/cluster.md"
    )
