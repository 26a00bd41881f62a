"""Markdown (GitHub's) that content of traces cannot change: for a pull request, a mail, a chat."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from tracesieve.pages.elements import visible

MOST_TEXT: Final = 300
# What begins markup within a line; what ends a cell, or GitHub links by itself: mentions, issues, addresses.
_MARKUP: Final = re.compile(r"[\\`*_{}\[\]()~$^]")
_LINKED: Final = re.compile(r"[<>&@#:|]|(?<=www)\.", re.IGNORECASE)
_TICKS: Final = re.compile(r"`+")
_ENDS_ADDRESS: Final = re.compile(r"[<>\s]")


def escaped(text: object, most: int = MOST_TEXT) -> str:
    """``text`` as plain words of Markdown, on one line."""
    shown = _LINKED.sub(lambda found: f"\x00{ord(found[0])};", visible(text, most))
    return _MARKUP.sub(lambda found: "\\" + found[0], shown).replace("\x00", "&#")


def code(text: object, most: int = MOST_TEXT) -> str:
    """``text`` as code, on one line, also in a table: a backtick or bar in it ends nothing."""
    shown = visible(text, most)
    if "|" in shown:  # a bar ends the cell of a table, in code too
        return f"<code>{escaped(text, most)}</code>"
    fence = "`" * (max((len(run) for run in _TICKS.findall(shown)), default=0) + 1)
    edge = " " if len(fence) > 1 or shown.startswith(" ") else ""
    return f"{fence}{edge}{shown}{edge}{fence}" if shown.strip() else ""


def link(text: str, url: str | None) -> str:
    """``text`` (Markdown) as a link, as it is without one."""
    return text if url is None else f"[{text}](<{_ENDS_ADDRESS.sub('', url)}>)"


def table(
    headings: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Iterable[int] = ()
) -> list[str]:
    """Lines of a table; cells are Markdown already."""
    right = set(numbers)
    rule = ["--:" if place in right else "---" for place in range(len(headings))]
    return ["| " + " | ".join(cells) + " |" for cells in (headings, rule, *rows)]
