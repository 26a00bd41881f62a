"""``--where CONDITION`` of the commands that look at a range: the traces to keep, and what a person is told.

::

    kept = where(store, table, text, from_us, to_us, now_us)
    facts = kept.of(facts)  # any frame with ``trace_id``
    document["where"] = kept_json(kept)
    lines += kept_lines(kept)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from store.content import TraceTable
from store.store import Store
from tracesieve.analysis.selection import Selection, select
from tracesieve.condition import parsed


def where(
    store: Store, table: TraceTable, text: str, from_us: int, to_us: int, now_us: int, option: str = "--where"
) -> Selection:
    """The traces that ended in [from, to) for which the condition ``text`` is TRUE.

    Raises:
        TracesieveError: the condition cannot be used; all that is wrong with it, each with its place.
        StoreError: the trace table cannot be read.
    """
    return select(store, table, parsed(option, text), from_us, to_us, now_us)


def kept_json(kept: Selection) -> dict[str, Any]:
    """What a JSON document says of it: ``condition``, ``searched``, ``matched``, ``content_gone``."""
    return {
        "condition": kept.condition.text,
        "searched": kept.searched,
        "matched": kept.facts.height,
        "content_gone": kept.gone,
    }


def kept_lines(kept: Selection) -> list[str]:
    """Sentences for a person."""
    return where_lines(kept_json(kept))


def where_lines(where: Mapping[str, Any]) -> list[str]:
    """The same from what :func:`kept_json` made."""
    matched = f"{where['matched']:,} of {where['searched']:,} traces match {where['condition']}"
    return [matched, *gone_lines(where["content_gone"])]


def gone_lines(gone: int) -> list[str]:
    """A sentence about the traces of which it cannot be known any more, if there are any."""
    if not gone:
        return []
    why = "their content is gone (retention: traces), and what is counted of them does not decide it"
    return [f"Of {gone:,} more it is not known whether they match: {why}."]
