"""What ``search``, ``report`` and ``profile`` answer in a notebook: the document that ``--json`` prints, its
lists as frames, and plots.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from tracesieve.notebook import plots
from tracesieve.terminal import plain

_TIMES = ("first_seen", "last_seen", "taken", "from", "to")


@dataclass(frozen=True)
class Found:
    """The traces that a condition matches.

    Attributes:
        traces: their facts, by end (:func:`tracesieve.notebook.frames.facts_frame`).
        experiments: where they were looked for: ``id``, ``name``, ``watched``, ``traces``, ``matched``.
        searched: how many traces were looked at.
        content_gone: how many of these may match, and have no content any more.
        condition: what was looked for.
    """

    traces: pl.DataFrame
    experiments: pl.DataFrame
    searched: int
    content_gone: int
    condition: str

    def __repr__(self) -> str:
        where = ", ".join(
            f"{plain(name or id_ or '(no name)', 60)}: {matched:,} of {traces:,}"
            for id_, name, _, traces, matched in self.experiments.iter_rows()
        )
        gone = f"; of {self.content_gone:,} the content is gone" if self.content_gone else ""
        return f"<{self.traces.height:,} of {self.searched:,} traces match ({where}){gone}>"


@dataclass(frozen=True)
class Report:
    """A report; ``document`` is what ``report --json`` prints."""

    document: Mapping[str, Any]

    @property
    def by_time(self) -> pl.DataFrame:
        """A row for each step of the range: ``start``, ``minutes``, ``traces``, ``errors``, quantiles, …"""
        rows = frame(
            [{**_plain(one), "from": one["from"], "to": one["to"]} for one in self.document["by_time"]]
        )
        minutes = (pl.col("to") - pl.col("from")).dt.total_seconds() / 60
        return rows.select(pl.col("from").alias("start"), minutes.alias("minutes"), pl.exclude("from", "to"))

    @property
    def groups(self) -> pl.DataFrame:
        """A row for each group: its keys, ``traces``, ``errors``, ``error_rate``, quantiles, cost."""
        return frame([{**one["group"], **_plain(one)} for one in self.document["groups"]])

    @property
    def patterns(self) -> pl.DataFrame:
        """Error patterns, the most frequent first."""
        return frame(self.document["error_patterns"])

    def plot(self, ax: Any = None) -> Any:
        """Traces and errors over time; gives the axes."""
        return plots.traffic(self.by_time, ax)

    def plot_latency(self, ax: Any = None) -> Any:
        """P50 and P95 over time; gives the axes."""
        return plots.latency(self.by_time, ax)

    def plot_patterns(self, ax: Any = None) -> Any:
        """Error patterns by the number of traces; gives the axes."""
        rows = self.patterns
        return plots.counts(
            rows if rows.width else pl.DataFrame({"text": [], "traces": []}), "text", "traces", ax
        )

    def __repr__(self) -> str:
        one = self.document
        return (
            f"<report from {one['from']} to {one['to']}: {one['traces']:,} traces, {one['errors']:,} errors>"
        )


@dataclass(frozen=True)
class Profile:
    """A profile; ``document`` is what ``profile --json`` prints."""

    document: Mapping[str, Any]

    @property
    def by_span_type(self) -> pl.DataFrame:
        """A row for each type of span, the most of the critical path first."""
        return frame([_plain(row) for row in self.document["by_span_type"]])

    @property
    def by_span_name(self) -> pl.DataFrame:
        """A row for each name and type of span, the most of the critical path first."""
        return frame([_plain(row) for row in self.document["by_span_name"]])

    @property
    def tools(self) -> pl.DataFrame:
        """A row for each tool, by the last part of its name, with its success rate."""
        return frame([_plain(row) for row in self.document["tools"]])

    @property
    def bottleneck(self) -> str | None:
        """A sentence on the span that takes more than half of the critical path; None: there is none."""
        found: str | None = self.document["bottleneck"]
        return found

    def plot(self, ax: Any = None, by: str = "span_name") -> Any:
        """The own time of spans ``by`` ``span_name`` or ``span_type``, as bars; gives the axes."""
        rows = self.by_span_type if by == "span_type" else self.by_span_name
        empty = pl.DataFrame({by: [], "self_ms": []}, schema={by: pl.String, "self_ms": pl.Float64})
        return plots.shares(rows if rows.width else empty, by, ax)

    def __repr__(self) -> str:
        return f"<profile of {self.document['traces']:,} traces: {self.bottleneck or 'no bottleneck'}>"


def frame(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Rows of a document as a frame; times become datetimes. No rows: no columns."""
    made = pl.DataFrame(list(rows), infer_schema_length=None)
    texts = [name for name in _TIMES if name in made.columns]
    return made.with_columns(
        pl.col(name).cast(pl.String).str.to_datetime(time_zone="UTC", time_unit="us") for name in texts
    )


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row without what is nested: tokens become ``tokens_input``, …"""
    found = {key: value for key, value in row.items() if not isinstance(value, Mapping | list)}
    return found | {f"tokens_{kind}": value for kind, value in row["tokens"].items()}
