"""Profiles as HTML pages: a range by span type and name, single traces as waterfalls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from xml.etree.ElementTree import Element

from rules.units import parse_time_us, readable_time
from tracesieve.pages.blocks import Cell, bar, folded, section, table, tiles
from tracesieve.pages.elements import element, link
from tracesieve.pages.figures import figure
from tracesieve.pages.page import page
from tracesieve.terminal import group_names

MOST_ROWS: Final = 100
_DEEPEST: Final = 12  # beyond that, rows are not indented further
_HEADINGS: Final = ("calls", "failed", "mean", "P50", "P95", "self time", "critical path", "tokens", "cost")
_PATH: Final = (
    "The critical path is what the traces waited for; self time is that in which no span below ran."
)

_WATERFALL: Final = (
    "From the beginning of the trace to its end. Coloured is what the trace waited for, grey what ran beside "
    "it, red what failed."
)


def profile_page(document: Mapping[str, Any], sentences: Sequence[str]) -> str:
    """The document of ``profile --json`` as a page; ``sentences`` are the bottleneck and what else is to be
    known.
    """
    first, end = (readable_time(parse_time_us(document[key]), "minutes") for key in ("from", "to"))
    return page(
        "Profile",
        tiles(_figures(document)),
        *(element("p", text) for text in sentences),
        _spans("By span type", document["by_span_type"], "span_type", _PATH),
        _spans("By span name", document["by_span_name"], "span_name"),
        _tools(document["tools"]),
        _groups(document.get("groups", ())),
        subtitle=f"Traces that ended from {first} to {end}",
    )


def traces_page(documents: Sequence[Mapping[str, Any]], heads: Sequence[str]) -> str:
    """Documents of single traces, each with a ``waterfall`` (tracesieve/analysis/trace_tree.py), as a page;
    ``heads`` say in words what each trace is.
    """
    return page(
        "Profile of " + ("a trace" if len(documents) == 1 else f"{len(documents)} traces"),
        *(part for document, head in zip(documents, heads, strict=True) for part in _trace(document, head)),
    )


def _figures(document: Mapping[str, Any]) -> Iterator[tuple[str, str, str | None]]:
    rows = document["by_span_type"]
    yield "traces", figure(document["traces"], "count"), None
    calls, errors = (sum(row[key] for row in rows) for key in ("calls", "errors"))
    yield "spans", figure(calls, "count"), f"{errors:,} failed"
    for name, amounts, unit in (
        ("tokens", [row["tokens"]["total"] for row in rows], "count"),
        ("cost", [row["cost_usd"] for row in rows], "usd"),
    ):
        known = [one for one in amounts if one is not None]
        yield name, figure(sum(known) if known else None, unit), "as the spans report it"


def _spans(
    title: str, rows: Sequence[Mapping[str, Any]], key: str, note: str | None = None
) -> Element | None:
    if not rows:
        return None
    headings = (key.replace("_", " "), *(("type",) if key == "span_name" else ()), *_HEADINGS)
    cells = [_span(row, key) for row in rows[:MOST_ROWS]]
    first = len(headings) - len(_HEADINGS)
    right = [place for place in range(first, len(headings)) if headings[place] != "critical path"]
    return section(title, table(headings, cells, numbers=right), _more(len(rows)), note=note)


def _span(row: Mapping[str, Any], key: str) -> list[Cell]:
    return [
        element("code", row[key] or "(no name)"),
        *([row["span_type"]] if key == "span_name" else []),
        f"{row['calls']:,}",
        f"{row['errors']:,}",
        *(figure(row[name], "ms") for name in ("mean_ms", "p50_ms", "p95_ms", "self_ms")),
        _share(row["critical_share"]),
        figure(row["tokens"]["total"], "count"),
        figure(row["cost_usd"], "usd"),
    ]


def _share(share: float | None) -> Cell:
    if share is None:
        return "-"
    text = figure(share, "share")
    return element("div", bar(0, share, "hot", text), element("small", text), class_="share")


def _tools(rows: Sequence[Mapping[str, Any]]) -> Element | None:
    if not rows:
        return None
    cells: list[list[Cell]] = [
        [
            element("code", row["tool"]),
            f"{row['calls']:,}",
            f"{row['success_rate']:.1%}",
            *(figure(row[name], "ms") for name in ("p50_ms", "p95_ms")),
        ]
        for row in rows[:MOST_ROWS]
    ]
    headings = ("tool", "calls", "success", "P50", "P95")
    return section("Tools", table(headings, cells, numbers=range(1, 5)), _more(len(rows)))


def _groups(rows: Sequence[Mapping[str, Any]]) -> Element | None:
    if not rows:
        return None
    names = group_names([row["group"] for row in rows])
    cells: list[list[Cell]] = []
    for name, row in zip(names, rows[:MOST_ROWS], strict=False):
        most = row["most"] or {"span_name": "-", "critical_share": None}
        cells.append(
            [
                element("code", name),
                f"{row['traces']:,}",
                *(figure(row[key], "ms") for key in ("p50_ms", "p95_ms")),
                element("code", most["span_name"] or "(no name)"),
                _share(most["critical_share"]),
            ]
        )
    headings = ("group", "traces", "P50", "P95", "most time in", "critical path")
    return section("Groups", table(headings, cells, numbers=range(1, 4)), _more(len(rows)))


def _more(number: int) -> Element | None:
    if number <= MOST_ROWS:
        return None
    return element("p", f"and {number - MOST_ROWS:,} more; --json has them all", class_="note")


def _trace(document: Mapping[str, Any], head: str) -> Iterator[Element]:
    rows = document["waterfall"]
    cells = [_line(row) for row in rows]
    falls = element("div", table(("span", "time", "when"), cells, numbers=[1]), class_="falls")
    found = section(head, falls if rows else None, note=_WATERFALL if rows else "It has no spans.")
    if document["bottleneck"] is not None:
        found.append(element("p", document["bottleneck"]))
    if document["url"] is not None:
        found.append(element("p", link("the trace on the MLflow server", document["url"])))
    by_type = _spans("By span type", document["by_span_type"], "span_type")
    if by_type is not None:
        found.append(folded("by span type", by_type))
    yield found


def _line(row: Mapping[str, Any]) -> list[Cell]:
    indent = "\u00a0" * 4 * min(row["depth"], _DEEPEST)
    if row["hidden"]:
        return [f"{indent}… {row['hidden']:,} more", figure(row["duration_ms"], "ms"), ""]
    kind = element("small", f" {row['span_type']}")
    name = element("div", indent, element("code", row["span_name"] or "(no name)"), kind)
    if row["begin"] is None:
        return [name, "?", ""]
    colour = "bad" if row["failed"] else "hot" if row["critical"] else "faint"
    words = f"begins at {figure(row['start_ms'], 'ms')}, takes {figure(row['duration_ms'], 'ms')}"
    state = ", failed" if row["failed"] else ""
    return [
        name,
        figure(row["duration_ms"], "ms"),
        bar(row["begin"], row["end"], colour, words + state),
    ]
