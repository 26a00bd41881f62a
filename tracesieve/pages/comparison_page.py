"""A comparison of two ranges or versions as an HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tracesieve.pages.blocks import Cell, section, table
from tracesieve.pages.elements import element
from tracesieve.pages.page import page

MOST_ROWS: Final = 200
_HEADINGS: Final = ("what", "where", "before", "after", "change", "95% interval", "sure", "p", "adjusted")


def comparison_page(
    document: Mapping[str, Any], sentences: Sequence[str], cells: Sequence[Sequence[str]]
) -> str:
    """The document of ``profile --compare --json`` as a page; ``sentences`` and ``cells`` (what, where,
    before, after, change, sure, of the changes that are listed) are its words.
    """
    listed = [row for row in document["changes"] if row["listed"]]
    rows = [_row(row, words) for row, words in zip(listed[:MOST_ROWS], cells, strict=False)]
    inner = table(_HEADINGS, rows, numbers=(2, 3, 4, 5, 7, 8)) if rows else None
    note = "Adjusted for the number of comparisons: by Holm of what is sure, by Benjamini and Hochberg else."
    return page(
        "What changed",
        *(element("p", text) for text in sentences),
        section("Changes", inner, note=note if rows else None),
    )


def _row(row: Mapping[str, Any], words: Sequence[str]) -> list[Cell]:
    what, place, before, after, change, sure = words
    return [
        what,
        element("code", place),
        before,
        after,
        change,
        _interval(row),
        sure,
        f"{row['p']:.2g}",
        f"{row['p_holm'] if sure == 'surely' else row['p_false_discovery']:.2g}",
    ]


def _interval(row: Mapping[str, Any]) -> str:
    if row["interval"] is None:
        return "-"
    unit = " points" if row["what"] == "failing" else "%"
    low, high = (one * 100 for one in row["interval"])
    return f"{low:+.1f} to {high:+.1f}{unit}"
