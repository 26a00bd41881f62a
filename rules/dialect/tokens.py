"""Splitting a condition into tokens, with the limits that keep a hostile one cheap: size, depth, no comments,
no ``;``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rules.diagnostics import Diagnostic
from rules.errors import ConditionError

MAX_BYTES = 10_000
MAX_DEPTH = 32
_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<comment>--|/\*)
      | (?P<number>(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?)
      | (?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")
      | (?P<quoted>`(?:[^`]|``)+`)
      | (?P<word>[^\W\d]\w*)
      | (?P<op><>|!=|<=|>=|==|[=<>+\-*/(),.])
    """,
    re.VERBOSE,
)


@dataclass(frozen=True)
class Token:
    """A piece of the text; ``at`` is its offset."""

    kind: str  # number | text | quoted | word | op | end
    value: str
    at: int

    @property
    def upper(self) -> str:
        """The value in capitals if it is a word or an operator, else nothing."""
        return self.value.upper() if self.kind in ("word", "op") else ""


def position(text: str, at: int) -> tuple[int, int]:
    """Line and column, from 1, of an offset."""
    return text.count("\n", 0, at) + 1, at - (text.rfind("\n", 0, at) + 1) + 1


def diagnostic(text: str, at: int, code: str, message: str, hint: str = "") -> Diagnostic:
    """What is wrong at an offset of the text."""
    line, column = position(text, at)
    return Diagnostic(code, message, hint, line=line, column=column)


def tokenize(text: str) -> list[Token]:
    """The tokens of a condition, closed by one of kind ``end``.

    Raises:
        ConditionError: it is too long or too deep, or holds something that no condition has.
    """
    if len(text.encode()) > MAX_BYTES:
        raise ConditionError([diagnostic("", 0, "too-long", f"a condition has at most {MAX_BYTES} bytes")])
    tokens: list[Token] = []
    at = depth = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup == "comment":
            raise ConditionError([diagnostic(text, at, "syntax", _why_no_token(text[at], bool(match)))])
        kind = str(match.lastgroup)
        if kind != "space":
            tokens.append(Token(kind, match[0], at))
            depth += (match[0] == "(") - (match[0] == ")")
            if depth > MAX_DEPTH:
                raise ConditionError(
                    [diagnostic(text, at, "too-deep", f"parentheses are nested more than {MAX_DEPTH} deep")]
                )
        at = match.end()
    return [*tokens, Token("end", "", len(text))]


def _why_no_token(char: str, is_comment: bool) -> str:
    if is_comment:
        return "a comment is not allowed here"
    return f"the quote {char} is not closed" if char in "'\"`" else f"{char!r} is not allowed here"


def unquote(value: str) -> str:
    """The text inside quotes, doubled quotes undone."""
    return value[1:-1].replace(value[0] * 2, value[0])
