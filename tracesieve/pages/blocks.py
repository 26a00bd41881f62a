"""Blocks of a page: sections, tables, tiles of figures, bars that stand in a cell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from xml.etree.ElementTree import Element

from tracesieve.pages.elements import element

Cell = Element | str
BAR_WIDTH, BAR_HEIGHT = 200, 12
BARS = ("plain", "hot", "faint", "bad")


def section(title: str, *content: Element | None, note: str | None = None) -> Element:
    """A part of the page under a heading; ``note`` is a line of small text under it."""
    small = None if note is None else element("p", note, class_="note")
    return element("section", element("h2", title), small, *content)


def table(headings: Sequence[str], rows: Iterable[Sequence[Cell]], *, numbers: Iterable[int] = ()) -> Element:
    """A table, the columns ``numbers`` to the right; it scrolls by itself where the page is narrow."""
    right = set(numbers)

    def classes(place: int) -> str | None:
        return "number" if place in right else None

    head = element(
        "tr",
        *(element("th", text, scope="col", class_=classes(place)) for place, text in enumerate(headings)),
    )
    body = [
        element("tr", *(element("td", cell, class_=classes(place)) for place, cell in enumerate(row)))
        for row in rows
    ]
    inner = element("table", element("thead", head), element("tbody", *body))
    # A region that scrolls must be reached by the keyboard.
    return element("div", inner, class_="scroll", tabindex="0", role="region", aria_label=", ".join(headings))


def tiles(figures: Iterable[tuple[str, str, str | None]]) -> Element:
    """The numbers of the whole: name, value, and a line of small text each."""
    found = [
        element(
            "div",
            element("dt", name),
            element("dd", value, None if small is None else element("small", small)),
        )
        for name, value, small in figures
    ]
    return element("dl", *found, class_="tiles")


def bar(begin: float, end: float, kind: str = "plain", title: str | None = None) -> Element:
    """A bar from ``begin`` to ``end``, shares of the whole width (0 to 1): a share, or a span of a trace.

    Raises:
        ValueError: ``kind`` is none of :data:`BARS`.
    """
    if kind not in BARS:
        raise ValueError(f"{kind} is no kind of bar: {', '.join(BARS)}")
    low, high = (min(max(one, 0.0), 1.0) * BAR_WIDTH for one in (begin, end))
    shape = element(
        "rect",
        x=f"{min(low, BAR_WIDTH - 1):.1f}",
        y=1,
        width=f"{max(high - low, 1):.1f}",  # too short to be seen is not nothing
        height=BAR_HEIGHT - 2,
        class_=f"bar {kind}",
    )
    named = {"role": "img", "aria_label": title} if title else {"aria_hidden": "true"}
    box = {"viewBox": f"0 0 {BAR_WIDTH} {BAR_HEIGHT}", "preserveAspectRatio": "none"}
    return element(
        "svg", None if title is None else element("title", title), shape, class_="bar", **box, **named
    )


def folded(summary: str, *content: Element) -> Element:
    """Content that is shown when its summary is clicked; it needs no script."""
    return element("details", element("summary", summary), *content)
