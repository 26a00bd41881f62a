"""Which table features of Delta a source may have.

A feature that a reader must know is one of :data:`READABLE`: those that Spark, and what reads single traces
back (``store.data_files``), have been tried with.  A table with another one is refused before anything
starts, since it would be counted and not read back, or read wrong.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from store.files import SmallFiles
from streams.errors import SourceError

READABLE: Final = frozenset(
    {
        "columnMapping",
        "deletionVectors",
        "timestampNtz",
        "typeWidening",
        "typeWidening-preview",
        "v2Checkpoint",
        "vacuumProtocolCheck",
        "variantShredding",
        "variantShredding-preview",
        "variantType",
        "variantType-preview",
    }
)


def refuse_unknown(label: str, table: str, features: Sequence[str] | None = None) -> None:
    """See whether a table's features are known: those that readers must know, by default those that the
    newest protocol in its log asks for.

    ``label`` names the table in messages.

    Raises:
        SourceError: it has others; names them, and what takes them away.
    """
    features = _features_by_log(table) if features is None else features
    unknown = sorted(set(features) - READABLE)
    if unknown:
        drops = "; ".join(f"ALTER TABLE delta.`{table}` DROP FEATURE `{one}`" for one in unknown)
        named = "the table feature" if len(unknown) == 1 else "the table features"
        raise SourceError(
            f"{label} has {named} {', '.join(unknown)}, which tracesieve cannot read: "
            f"`{drops}` takes it away where Delta lets it go; else copy the table into one without it"
        )


def _features_by_log(table: str) -> list[str]:
    """What the newest protocol in the log's commits asks of readers; nothing where no commit has one."""
    place = SmallFiles(table)
    commits = [name for name in place.names("_delta_log") if name.removesuffix(".json").isdigit()]
    for name in sorted(commits, reverse=True):
        for line in (place.read(f"_delta_log/{name}") or "").splitlines():
            if '"protocol"' in line and (protocol := _protocol(line)):
                return [str(one) for one in protocol.get("readerFeatures") or []]
    return []


def _protocol(line: str) -> dict[str, Any] | None:
    found = json.loads(line).get("protocol")
    return found if isinstance(found, dict) else None
