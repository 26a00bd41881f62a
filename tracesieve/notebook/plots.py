"""Plots of the frames, on axes of matplotlib, which is loaded only when one is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    Axes = Any  # matplotlib.axes.Axes

_MOST_BARS = 15
_LONGEST_NAME = 40


def traffic(windows: pl.DataFrame, ax: Axes | None = None) -> Axes:
    """Traces and failed ones over time, as bars one over the other; of a frame of windows."""
    drawn = _axes(ax)
    rows = (
        windows.group_by("start").agg(pl.col("traces", "errors").sum(), pl.col("minutes").max()).sort("start")
    )
    days = (rows["minutes"] / 1440 * 0.9).to_list()
    drawn.bar(rows["start"].to_list(), rows["traces"].to_list(), width=days, label="traces", color="#9db4c8")
    drawn.bar(rows["start"].to_list(), rows["errors"].to_list(), width=days, label="errors", color="#c0392b")
    drawn.set_ylabel("traces")
    return _over_time(drawn)


def latency(windows: pl.DataFrame, ax: Axes | None = None) -> Axes:
    """P50 and P95 of durations over time, in seconds; a line for each group."""
    drawn = _axes(ax)
    keys = windows.columns[2 : windows.columns.index("traces")]
    groups = windows.partition_by(keys, as_dict=True, maintain_order=True) if keys else {(): windows}
    for group, rows in groups.items():
        name = _name("/".join(str(one) for one in group if one))
        for quantile, style in (("p50_ms", ":"), ("p95_ms", "-")):
            known = rows.drop_nulls(quantile).sort("start")
            seconds = (known[quantile] / 1000).to_list()
            label = f"{quantile[:3].upper()} {name}".strip()
            drawn.plot(known["start"].to_list(), seconds, style, marker=".", label=label)
    drawn.set_ylabel("s")
    return _over_time(drawn)


def shares(rows: pl.DataFrame, name: str, ax: Axes | None = None) -> Axes:
    """Of rows of a profile their own time in seconds, as bars, the longest on top."""
    drawn = _axes(ax)
    longest = rows.sort("self_ms", descending=True).head(_MOST_BARS).reverse()
    names = [_name(one or "(no name)") for one in longest[name]]
    drawn.barh(range(len(names)), (longest["self_ms"] / 1000).to_list(), color="#5b7c99")
    drawn.set_yticks(range(len(names)), names)
    drawn.set_xlabel("self time, s")
    return drawn


def counts(rows: pl.DataFrame, name: str, number: str, ax: Axes | None = None) -> Axes:
    """Rows with their numbers as bars, the greatest on top."""
    drawn = _axes(ax)
    most = rows.sort(number, descending=True).head(_MOST_BARS).reverse()
    drawn.barh(range(most.height), most[number].to_list(), color="#c0392b")
    drawn.set_yticks(range(most.height), [_name(one or "-") for one in most[name]])
    drawn.set_xlabel(number)
    return drawn


def _name(text: str) -> str:
    """A text of a trace as a label: on one line, not too long, nothing in it set as a formula."""
    from tracesieve.terminal import plain

    return plain(text, _LONGEST_NAME).replace("$", r"\$")


def _axes(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots()[1]


def _over_time(drawn: Axes) -> Axes:
    drawn.figure.autofmt_xdate()
    drawn.set_ylim(bottom=0)
    if drawn.get_legend_handles_labels()[0]:
        drawn.legend()
    return drawn
