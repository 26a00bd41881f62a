"""The plots of a report over time, as documents of :mod:`tracesieve.pages.plots`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rules.units import parse_time_us
from tracesieve.pages.report_words import spike

_MARKED = {"error_rate": "errors", "p95_ms": "latency", "p95_tokens": "tokens", "p95_cost_usd": "cost"}


def plots(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Traffic, errors, latency, tokens and cost by step; spikes are marked in the one that they are of."""
    rows, step_s = document["by_time"], document["step_s"]

    def plot(
        name: str, title: str, unit: str, kind: str, series: Mapping[str, Sequence[Any]]
    ) -> dict[str, Any]:
        return {
            "id": name,
            "title": title,
            "unit": unit,
            "kind": kind,
            "starts": [row["from"] for row in rows],
            "step_s": step_s,
            "series": [{"name": key, "values": list(values)} for key, values in series.items()],
            "marks": _marks(document, name),
        }

    tokens = {kind: [row["tokens"][kind] for row in rows] for kind in ("input", "output")}
    if not any(value is not None for values in tokens.values() for value in values):
        tokens = {"tokens": [row["tokens"]["total"] for row in rows]}
    found = [
        plot("traffic", "Traffic", "count", "bars", {"traces": [row["traces"] for row in rows]}),
        plot("errors", "Errors", "share", "bars", {"failed traces": [row["error_rate"] for row in rows]}),
        plot(
            "latency",
            "Latency",
            "ms",
            "lines",
            {"P50": [row["p50_ms"] for row in rows], "P95": [row["p95_ms"] for row in rows]},
        ),
        plot("tokens", "Tokens", "count", "lines", tokens),
        plot("cost", "Cost in USD", "usd", "bars", {"cost": [row["cost_usd"] for row in rows]}),
    ]
    found[1]["series"][0]["bad"] = True
    return [one for one in found if one["id"] in ("traffic", "errors", "latency") or _known(one)]


def _known(plot: Mapping[str, Any]) -> bool:
    return any(value is not None for one in plot["series"] for value in one["values"])


def _marks(document: Mapping[str, Any], plot: str) -> list[dict[str, Any]]:
    """The steps of the spikes that a plot is about."""
    starts = [parse_time_us(row["from"]) for row in document["by_time"]]
    found = []
    for row in document["spikes"]:
        begin, end = (parse_time_us(row[key]) for key in ("from", "to"))
        if _MARKED[row["measure"]] == plot:
            found += [
                {"at": at, "text": spike(row)} for at, start in enumerate(starts) if begin <= start < end
            ]
    return found
