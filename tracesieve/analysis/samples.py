"""Samples: the beginning of a trace's request, what its first failed span said, and a link to its page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import polars as pl

from store.content import TraceTable
from tracesieve.analysis.trace_links import trace_url

MOST: Final = 100  # traces whose content is looked up for one report


class Samples:
    """The content of some traces, looked up at once; what is gone is null."""

    def __init__(
        self, facts: pl.DataFrame, table: TraceTable, trace_ids: Iterable[str], server: str | None
    ) -> None:
        """Look up the traces among ``facts`` (``trace_id``, ``experiment_id``, ``start_us``).

        Raises:
            StoreError: the trace table cannot be read.
        """
        wanted = list(dict.fromkeys(trace_ids))[:MOST]
        known = facts.filter(pl.col("trace_id").is_in(wanted))
        self._server = server
        self._experiments = dict(known.select("trace_id", "experiment_id").iter_rows())
        self._content: Mapping[str, tuple[str | None, str | None]] = table.samples(
            dict(known.select("trace_id", "start_us").iter_rows())
        )

    def of(self, trace_id: str) -> dict[str, Any]:
        """``trace_id``, ``request`` and ``url`` of a trace."""
        request, _ = self._content.get(trace_id, (None, None))
        url = trace_url(self._server, self._experiments.get(trace_id), trace_id)
        return {"trace_id": trace_id, "request": request, "url": url}

    def error(self, trace_id: str) -> str | None:
        """What its first failed span said."""
        return self._content.get(trace_id, (None, None))[1]
