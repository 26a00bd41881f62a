"""What a person sees on the terminal: other people's text made harmless, tables that fit, colour only on a terminal.

Trace content, names and messages of servers are hostile: an escape sequence in a request could repaint the screen, and
``[red]`` in a name is not ours to obey.  All of it goes through :func:`plain`; no markup is ever interpreted.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Iterable, Sequence

OFF_TERMINAL_COLUMNS = 80
_NARROWEST = 8
_WIDEST_TEXT = 100
_BACKSLASHED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
# Controls, formats (the bidirectional overrides are among them), lone surrogates, line and paragraph separators.
_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def plain(text: object, most: int | None = None) -> str:
    """``text`` on one line, with nothing in it that a terminal would obey; cut to ``most`` characters with ``…``."""
    words = str(text)
    if most is not None and len(words) > most:
        words = words[: max(most - 1, 0)] + "…"
    if words.isascii() and words.isprintable():
        return words
    return "".join(_seen(one) for one in words)


def _seen(one: str) -> str:
    if unicodedata.category(one) not in _UNSEEN:
        return one
    code = ord(one)
    return _BACKSLASHED.get(one) or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}")


def columns() -> int:
    """How wide the terminal is; 80 where there is none."""
    return shutil.get_terminal_size((OFF_TERMINAL_COLUMNS, 24)).columns if sys.stdout.isatty() else OFF_TERMINAL_COLUMNS


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Iterable[int] = ()) -> list[str]:
    """Lines of a table no wider than the terminal: the columns ``numbers`` whole and to the right, texts cut with ``…``."""
    from rich.cells import cell_len, set_cell_size

    cells = [[plain(cell) for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(headings, *cells, strict=True)]
    right = set(numbers)
    texts = [index for index in range(len(headings)) if index not in right]
    room = columns() - 2 * (len(headings) - 1)
    while texts and sum(widths) > room and max(widths[index] for index in texts) > _NARROWEST:
        widest = max(texts, key=lambda index: widths[index])
        widths[widest] -= 1

    def laid(row: Sequence[str]) -> str:
        shown = []
        for index, (cell, width) in enumerate(zip(row, widths, strict=True)):
            cut = cell if cell_len(cell) <= width else set_cell_size(cell, width - 1).rstrip() + "…"
            gap = " " * (width - cell_len(cut))
            shown.append(gap + cut if index in right else cut + gap)
        return "  ".join(shown).rstrip()

    return [laid(headings), *(laid(row) for row in cells)]


def wrapped(text: str, indent: str = "") -> str:
    """A paragraph no wider than the terminal, or than 100 columns on a wide one."""
    width = min(columns(), _WIDEST_TEXT)
    return textwrap.fill(plain(text), width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
