"""Text for a person at the terminal: made harmless, and laid out so that it fits.

Trace content, names and messages of servers are hostile: an escape sequence in a request could repaint the
screen, and ``[red]`` in a name must not colour it. All of it goes through :func:`plain`; no markup is ever
interpreted.
"""

from __future__ import annotations

import shutil
import sys
import unicodedata
from collections.abc import Iterable, Sequence

OFF_TERMINAL_COLUMNS = 80
_NARROWEST = 8
_WIDEST_TEXT = 100
_BACKSLASHED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
# Controls, formats (the bidirectional overrides are among them), lone surrogates, line and paragraph
# separators.
_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def plain(text: object, most: int | None = None) -> str:
    """``text`` on one line, with nothing in it that a terminal would obey, cut to ``most`` characters with
    ``…``.
    """
    words = str(text)
    if most is not None and len(words) > most:
        words = words[: max(most - 1, 0)] + "…"
    if words.isascii() and words.isprintable():
        return words
    return "".join(_escaped(one) for one in words)


def _escaped(one: str) -> str:
    """A character as it is, or as an escape sequence of Python where it cannot be seen."""
    if unicodedata.category(one) not in _UNSEEN:
        return one
    code = ord(one)
    return _BACKSLASHED.get(one) or (
        f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
    )


def columns() -> int:
    """How wide the terminal is; 80 where there is none."""
    return (
        shutil.get_terminal_size((OFF_TERMINAL_COLUMNS, 24)).columns
        if sys.stdout.isatty()
        else OFF_TERMINAL_COLUMNS
    )


def table(
    headings: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Iterable[int] = ()
) -> list[str]:
    """Lines of a table no wider than the terminal: the columns ``numbers`` whole and to the right, texts cut
    with ``…``.
    """
    from rich.cells import cell_len

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
            cut = fitted(cell, width)
            gap = " " * (width - cell_len(cut))
            shown.append(gap + cut if index in right else cut + gap)
        return "  ".join(shown).rstrip()

    return [laid(headings), *(laid(row) for row in cells)]


def fitted(text: str, width: int | None = None) -> str:
    """``text`` made harmless and cut with ``…`` to ``width`` columns of the terminal (all of them if not
    given).
    """
    from rich.cells import cell_len, set_cell_size

    shown, room = plain(text), columns() if width is None else width
    return shown if cell_len(shown) <= room else set_cell_size(shown, room - 1).rstrip() + "…"


def pointed(line: str, column: int, indent: str = "    ") -> list[str]:
    """A line of a file and below it a caret under ``column`` (from 1), no wider than the terminal.

    The indentation of the line is left out; of a long line the part around the caret is shown.
    """
    from rich.cells import cell_len, set_cell_size

    margin = min(len(line) - len(line.lstrip()), max(column - 1, 0))
    before, after = plain(line[margin : column - 1]), plain(line[column - 1 :].rstrip())
    room = columns() - len(indent) - 1
    most = max(room * 2 // 3, 1)
    if cell_len(before + after) > room and cell_len(before) > most:
        while cell_len(before) > most - 1:
            before = before[1:]
        before = "…" + before
    left = room - cell_len(before)
    if cell_len(after) > left:
        after = set_cell_size(after, max(left - 1, 1)).rstrip() + "…"
    return [indent + before + after, indent + " " * cell_len(before) + "^"]


def wrapped(text: str, indent: str = "", hang: int | None = None) -> str:
    """A paragraph no wider than the terminal, or than 100 columns on a wide one; later lines start at column
    ``hang``.
    """
    from rich.cells import cell_len, chop_cells

    width = min(columns(), _WIDEST_TEXT)
    later = len(indent) if hang is None else hang
    lines: list[str] = []
    line = ""
    for word in plain(text).split():
        for piece in chop_cells(
            word, width - max(later, len(indent))
        ):  # one piece, unless it is longer than a line
            room = width - (later if lines else len(indent))
            if line and cell_len(line) + 1 + cell_len(piece) > room:
                lines.append(line)
                line = piece
            else:
                line = f"{line} {piece}".lstrip()
    lines.append(line)
    return "\n".join((indent if number == 0 else " " * later) + each for number, each in enumerate(lines))
