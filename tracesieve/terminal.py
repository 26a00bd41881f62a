"""Text for a person at the terminal: made harmless, and laid out so that it fits.

Trace content, names and messages of servers are hostile: an escape sequence in a request could repaint the
screen, and ``[red]`` in a name must not colour it. All of it goes through :func:`plain`; no markup is ever
interpreted.
"""

from __future__ import annotations

import os
import shutil
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest

OFF_TERMINAL_COLUMNS = 80
_FEWEST_COLUMNS = 20
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


def number(count: int, noun: str, several: str = "") -> str:
    """``1 record``, ``1,200 records``; ``several`` is the plural where that is no ``s`` more."""
    return f"{count:,} {noun if count == 1 else several or noun + 's'}"


def columns() -> int:
    """How wide lines may be: ``COLUMNS`` if it is set, in a pipe too, else the terminal's width, else 80."""
    # Asked of a pipe, shutil looks at the process's first stdout, which may be a terminal all the same.
    fallback = (OFF_TERMINAL_COLUMNS, 24)
    if sys.stdout.isatty():
        wide = shutil.get_terminal_size(fallback).columns
    else:
        given = os.environ.get("COLUMNS", "")
        wide = int(given) if given.isdecimal() and given.isascii() and int(given) else OFF_TERMINAL_COLUMNS
    return max(wide, _FEWEST_COLUMNS)


def table(
    headings: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Iterable[int] = ()
) -> list[str]:
    """Lines of a table no wider than the terminal: the columns ``numbers`` whole and to the right.

    A text that is too long is cut in its middle; texts of a column that would look the same when cut are
    wrapped instead. Where even that is too wide, each row becomes a paragraph.
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
    if sum(widths) > room:
        return [line for row in cells for line in _paragraph(headings, row)]
    shown = {index: _cut_apart([row[index] for row in cells], widths[index]) for index in texts}

    def laid(row: Sequence[str]) -> str:
        padded = []
        for index, (cell, width) in enumerate(zip(row, widths, strict=True)):
            gap = " " * (width - cell_len(cell))
            padded.append(gap + cell if index in right else cell + gap)
        return "  ".join(padded).rstrip()

    lines = [laid([_cut(heading, width) for heading, width in zip(headings, widths, strict=True)])]
    for row in cells:
        pieces = [shown[index][cell] if index in shown else [cell] for index, cell in enumerate(row)]
        lines += [laid(part) for part in zip_longest(*pieces, fillvalue="")]
    return lines


def _paragraph(headings: Sequence[str], row: Sequence[str]) -> list[str]:
    pairs = ", ".join(f"{heading} {cell}" for heading, cell in zip(headings, row, strict=True))
    return wrapped(pairs, hang=2).split("\n")


def _cut_apart(texts: Iterable[str], width: int) -> dict[str, list[str]]:
    """The lines that show each text within ``width`` columns: one, unless another would look the same."""
    from rich.cells import chop_cells

    cuts = {text: _cut(text, width) for text in texts}
    alike = Counter(cuts.values())
    return {text: [cut] if alike[cut] == 1 else chop_cells(text, width) for text, cut in cuts.items()}


def _cut(text: str, width: int) -> str:
    """``text``, with ``…`` in the place of its middle if it is wider than ``width`` columns."""
    from rich.cells import cell_len, set_cell_size

    if cell_len(text) <= width:
        return text
    head, tail = set_cell_size(text, width // 2).rstrip(), text[-width:]
    while cell_len(tail) > width - width // 2 - 1:
        tail = tail[1:]
    return f"{head}…{tail}"


def group_names(groups: Sequence[Mapping[str, object]], taken: Iterable[str] = ()) -> list[str]:
    """Names of groups, by the values of their keys: ``support/agent/prod``; two groups never have the same.

    A group whose name would look like another's, or like one that is ``taken``, is written with its keys:
    ``experiment="support"/trace_name="agent"``, what is not ASCII escaped.
    """
    names = ["/".join(map(plain, group.values())) for group in groups]
    different = {tuple(group.items()): name for group, name in zip(groups, names, strict=True)}
    alike = Counter(map(_look, [*taken, *different.values(), ""]))
    return [
        "/".join(f"{key}={_quoted(value)}" for key, value in group.items())
        if alike[_look(name)] > 1 or '="' in name
        else name
        for name, group in zip(names, groups, strict=True)
    ]


def _look(name: str) -> str:
    """Equal for names that a person cannot tell apart."""
    return " ".join(unicodedata.normalize("NFKC", name).split())


def _quoted(value: object) -> str:
    return '"' + str(value).encode("unicode_escape").decode().replace('"', '\\"').replace(" ", "\\x20") + '"'


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


def short_time(us: float) -> str:
    """A duration in at most six characters: ``834 ms``, ``1.3 s``, ``12 m``, ``3.4 h``."""
    for unit, size in (("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000)):
        if us >= size * (1 if unit in ("ms", "s") else 2):
            number = us / size
            return f"{number:,.1f} {unit}" if number < 10 else f"{number:,.0f} {unit}"
    return f"{us:,.0f} µs"
