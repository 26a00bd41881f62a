"""Samples: the beginning of a trace's request, what it failed with, and a link to its page."""

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
        self._starts_us = dict(known.select("trace_id", "start_us").iter_rows())
        self._table = table
        self._requests = table.requests(self._starts_us)

    def of(self, trace_id: str) -> dict[str, Any]:
        """``trace_id``, ``request`` and ``url`` of a trace."""
        url = trace_url(self._server, self._experiments.get(trace_id), trace_id)
        return {"trace_id": trace_id, "request": self._requests.get(trace_id), "url": url}

    def with_errors(self, trace_ids: Iterable[str], known: Mapping[str, str]) -> list[dict[str, Any]]:
        """The samples of failed traces with their ``error``: what is ``known`` by trace id, the message of
        the failure; else what the first failed span said, null for nothing.

        Raises:
            StoreError: the trace table cannot be read.
        """
        ids = list(trace_ids)
        lacking = {one: self._starts_us[one] for one in ids if one not in known and one in self._starts_us}
        spans = self._table.samples(lacking)
        return [{**self.of(one), "error": known.get(one) or spans.get(one, (None, None))[1]} for one in ids]
