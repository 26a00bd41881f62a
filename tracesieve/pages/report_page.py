"""A report as an HTML page: the numbers of the range, plots over time, spikes, patterns, hot spots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from xml.etree.ElementTree import Element

from rules.units import parse_time_us, readable_time
from tracesieve.pages import report_words as words
from tracesieve.pages.blocks import bar, folded, section, table, tiles
from tracesieve.pages.elements import cut_apart, element, link
from tracesieve.pages.figures import figure
from tracesieve.pages.page import page
from tracesieve.pages.plots import time_plot
from tracesieve.pages.report_plots import plots
from tracesieve.pages.sparkline import sparkline
from tracesieve.terminal import group_names

MOST_ROWS: Final = 50
_ALL: Final = "all"
_GROUP: Final = 300  # characters of a group's name
_REQUEST: Final = 300  # characters of a sample's request


def report_page(document: Mapping[str, Any]) -> str:
    """The document of ``report --json`` as a page."""
    first, end = (readable_time(parse_time_us(document[key]), "minutes") for key in ("from", "to"))
    where = f", where {document['where']}" if document.get("where") else ""
    pictures = [time_plot(one) for one in plots(document)]
    return page(
        "Report",
        tiles(_figures(document)),
        section(
            "By time", element("div", *pictures, class_="plots"), note="Times are UTC; spikes are marked."
        ),
        *_spikes(document),
        _patterns(document),
        _slow(document),
        _groups(document),
        _hot_spots(document),
        _candidates(document),
        _datasets(document),
        _fresh(document["freshness"]),
        subtitle=f"Traces that ended from {first} to {end}{where}",
    )


def _figures(document: Mapping[str, Any]) -> Iterator[tuple[str, str, str | None]]:
    yield "traces", figure(document["traces"], "count"), None
    yield "failed", figure(document["error_rate"], "share"), f"{document['errors']:,} traces"
    yield "P50", figure(document["p50_ms"], "ms"), None
    yield "P95", figure(document["p95_ms"], "ms"), f"P99 {figure(document['p99_ms'], 'ms')}"
    tokens = document["tokens"]
    parts = f"{figure(tokens['input'], 'count')} in, {figure(tokens['output'], 'count')} out"
    yield "tokens", figure(tokens["total"], "count"), parts
    yield "cost", figure(document["cost_usd"], "usd"), None


def _more(number: int, what: str) -> Element | None:
    if number <= MOST_ROWS:
        return None
    return element("p", f"and {number - MOST_ROWS:,} more {what}; --json has them all", class_="note")


def _spikes(document: Mapping[str, Any]) -> Iterator[Element]:
    rows = document["spikes"]
    if not rows:
        return
    found: list[Element] = []
    for row in rows[:MOST_ROWS]:
        found += [element("h3", words.span_of_time(row)), element("p", words.spike(row))]
        if row["changed"]:
            cells = [_change(one, row) for one in row["changed"]]
            headings = ("what", "", "of those affected", "of all", f"{row['compared_with']}: of all", "lift")
            found.append(table(headings, cells, numbers=(2, 3, 4, 5)))
        else:
            found.append(
                element("p", "No value of a group, span, tool or pattern stands out.", class_="note")
            )
    note = (
        "What stands out of the range's own usual, and what the affected traces have more often than before."
    )
    yield section("Spikes", *found, _more(len(rows), "spikes"), note=note)


def _change(one: Mapping[str, Any], of: Mapping[str, Any]) -> list[Element | str]:
    def share(part: str, whole: str) -> str:
        return f"{one[part]:,} of {of[whole]:,}"

    return [
        element("code", words.changed_value(one)),
        one["state"],
        share("affected", "affected"),
        share("traces", "traces"),
        share("traces_before", "others"),
        f"{one['lift']:,.1f}×",
    ]


def _patterns(document: Mapping[str, Any]) -> Element:
    rows, failures = document["error_patterns"], document["failures"]
    cells = [
        [
            f"{row['traces']:,}",
            figure(row["share"], "share"),
            row["state"] or "-",
            element("div", element("code", words.pattern(row)), _where(row), _samples(row)),
            sparkline(row["trend"], "failures over time"),
            _minute(row["first_seen"]),
            _minute(row["last_seen"]),
        ]
        for row in rows[:MOST_ROWS]
    ]
    note = f"{failures['failed']:,} traces failed; {failures['handled']:,} met a failure and ended well."
    if failures["unknown"]:
        note += f" Of {failures['unknown']:,} failed traces the failure is not known."
    headings = ("traces", "share", "state", "pattern", "trend", "first seen", "last seen")
    inner = table(headings, cells, numbers=(0, 1)) if rows else None
    return section("Error patterns", inner, _more(len(rows), "patterns"), note=note)


def _where(row: Mapping[str, Any]) -> Element:
    return element("small", f" {words.place(row)}")


def _samples(row: Mapping[str, Any]) -> Element | None:
    items = [element("li", link(one["trace_id"], one["url"]), *_request(one)) for one in row["sample_inputs"]]
    return (
        folded(f"{len(items)} sample{'s' if len(items) > 1 else ''}", element("ul", *items))
        if items
        else None
    )


def _request(sample: Mapping[str, Any]) -> Iterator[Element]:
    if sample["request"]:
        yield element("code", sample["request"][:_REQUEST])


def _minute(time: str | None) -> str:
    return "-" if time is None else time[:16].replace("T", " ")


def _slow(document: Mapping[str, Any]) -> Element | None:
    slow, rows = document["slow"], document["slow_patterns"]
    if not slow["traces"]:
        return None
    cells = [
        [
            f"{row['traces']:,}",
            figure(row["share"], "share"),
            element(
                "div", element("code", row["span_name"] or "(no name)"), f" {row['span_type']}", _samples(row)
            ),
            _share(row["critical_share"]),
            figure(row["p95_ms"], "ms"),
        ]
        for row in rows[:MOST_ROWS]
    ]
    note = (
        f"{slow['traces']:,} traces took longer than {figure(slow['above_ms'], 'ms')}, the P95 of the range."
    )
    if slow["unknown"]:
        note += f" Of {slow['unknown']:,} the spans are not known."
    headings = ("traces", "share", "most time in", "of their time", "P95")
    inner = table(headings, cells, numbers=(0, 1, 4)) if rows else None
    return section("Slow patterns", inner, _more(len(rows), "spans"), note=note)


def _share(share: float | None, kind: str = "hot") -> Element | str:
    if share is None:
        return "-"
    text = figure(share, "share")
    return element("div", bar(0, share, kind, text), element("small", text), class_="share")


def _groups(document: Mapping[str, Any]) -> Element:
    rows = document["groups"]
    names = cut_apart(group_names([one["group"] for one in rows], taken=[_ALL]), _GROUP)
    cells = [_group(_ALL, document), *(_group(name, row) for name, row in zip(names, rows, strict=True))]
    headings = ("group", "traces", "failed", "P50", "P95", "tokens", "cost")
    inner = table(headings, cells[: MOST_ROWS + 1], numbers=range(1, 7))
    return section("Groups", inner, _more(len(rows), "groups"))


def _group(name: str, row: Mapping[str, Any]) -> Sequence[Element | str]:
    return [
        element("code", name),
        f"{row['traces']:,}",
        figure(row["error_rate"], "share"),
        *(figure(row[key], "ms") for key in ("p50_ms", "p95_ms")),
        figure(row["tokens"]["total"], "count"),
        figure(row["cost_usd"], "usd"),
    ]


def _hot_spots(document: Mapping[str, Any]) -> Element | None:
    rows = document["hot_spots"]["by_span_name"]
    if not rows:
        return None
    cells = [
        [
            element("code", row["span_name"] or "(no name)"),
            row["span_type"],
            figure(row["tokens"], "count"),
            _share(row["tokens_share"], "plain"),
            figure(row["cost_usd"], "usd"),
            _share(row["cost_share"], "plain"),
        ]
        for row in rows[:MOST_ROWS]
    ]
    headings = ("span", "type", "tokens", "share", "cost", "share")
    note = "What spans report that they used themselves; by group it is in the table above."
    inner = table(headings, cells, numbers=(2, 4))
    return section("Tokens and cost", inner, _more(len(rows), "spans"), note=note)


def _candidates(document: Mapping[str, Any]) -> Element | None:
    names = ("matched", "tagged", "in_set", "records")
    cells: list[list[Element | str]] = [
        [element("code", row["category"]), *(figure(row[name], "count") for name in names)]
        for row in document["categories"]
    ]
    headings = ("category", "matched", "tagged", "in the set", "records")
    return section("Candidates", table(headings, cells, numbers=range(1, 5))) if cells else None


def _datasets(document: Mapping[str, Any]) -> Element | None:
    rows = document.get("datasets")
    if not rows:
        return None
    cells = [
        [
            element("code", row["name"]),
            (row["version"] or "-")[:12],
            f"{row['records']:,}",
            f"{row['sources']:,}",
            _minute(row["taken"]),
        ]
        for row in rows[:MOST_ROWS]
    ]
    headings = ("dataset", "version", "records", "traces", "taken")
    return section("Datasets", table(headings, cells, numbers=(2, 3)))


def _fresh(fresh: Mapping[str, Any]) -> Element:
    cells = [
        [name.replace("_", " "), _minute(value) if name == "final_through" else f"{value:,}"]
        for name, value in fresh.items()
    ]
    return section("Freshness", table(("what", "how many"), cells, numbers=[1]))
