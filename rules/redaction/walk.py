"""A JSON value with each of its texts put through a function: values, keys of objects, and what stands in
texts that are JSON themselves (the arguments of a tool call mostly are).

The order of visits is that of the content, not of its spelling: keys are visited sorted. Names of keys stay
unless the function changes them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from rules.errors import TooDeepError

DEEPEST: Final = 64  # levels of a value, and of one in a text
MOST_TEXTS: Final = 6  # texts in texts in texts
_STYLES: Final[tuple[dict[str, Any], ...]] = (
    {"ensure_ascii": False},
    {},
    {"ensure_ascii": False, "separators": (",", ":")},
    {"separators": (",", ":")},
    {"ensure_ascii": False, "indent": 2},
    {"indent": 2},
)
Visit = Callable[[str, str, bool], str]


class Walk:
    """Walks values of one record; what was found of a text that is JSON is kept for the next walk."""

    def __init__(self) -> None:
        self._parsed: dict[str, tuple[Any, dict[str, Any] | None] | None] = {}

    def value(self, value: Any, visit: Visit) -> Any:
        """The value with its texts as ``visit(text, key, is_number)`` gives them; ``key`` is the name that a
        text stands under, or "". A number is visited as its digits and stays one unless they change.

        Raises:
            TooDeepError: it is nested more than :data:`DEEPEST` levels deep.
        """
        return self._any(value, "", 0, 0, visit)

    def _any(self, value: Any, key: str, depth: int, texts: int, visit: Visit) -> Any:
        if isinstance(value, str):
            return self._text(value, key, texts, visit)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return _number(value, key, visit)
        if depth >= DEEPEST and isinstance(value, dict | list):
            raise TooDeepError("a value is nested too deep to be redacted")
        if isinstance(value, list):
            return [self._any(one, key, depth + 1, texts, visit) for one in value]
        if isinstance(value, dict):
            return self._object(value, depth, texts, visit)
        return value

    def _object(self, value: dict[str, Any], depth: int, texts: int, visit: Visit) -> dict[str, Any]:
        changed: dict[str, tuple[str, Any]] = {}
        names: set[str] = set()
        for key in sorted(value):
            name = visit(key, "", False)
            number = 1
            while name in names or (name != key and name in value):  # two spellings of one value
                number += 1
                name = f"{name.partition(' (')[0]} ({number})"
            names.add(name)
            changed[key] = name, self._any(value[key], key, depth + 1, texts, visit)
        return dict(changed[key] for key in value)

    def _text(self, text: str, key: str, texts: int, visit: Visit) -> str:
        inner = self._inner(text) if texts < MOST_TEXTS else None
        if inner is None:
            return visit(text, key, False)
        value, style = inner
        changed = self._any(value, key, 0, texts + 1, visit)
        if changed != value:
            text = json.dumps(changed, **(_STYLES[0] if style is None else style))
        # One that is not written again as it was may hold more than its value, such as a key given twice.
        return text if style is not None else visit(text, key, False)

    def _inner(self, text: str) -> tuple[Any, dict[str, Any] | None] | None:
        """The value of a text that is JSON, and how it is written; None for any other text."""
        begin, end = text[:64].lstrip()[:1], text[-64:].rstrip()[-1:]
        if (begin, end) not in (("{", "}"), ("[", "]"), ('"', '"')) or len(text) < 2:
            return None
        if text not in self._parsed:
            self._parsed[text] = _read(text)
        return self._parsed[text]


def _read(text: str) -> tuple[Any, dict[str, Any] | None] | None:
    try:
        value = json.loads(text)
        if not _fits(value):
            return None
        return value, next((style for style in _STYLES if json.dumps(value, **style) == text), None)
    except (ValueError, RecursionError):
        return None


def _fits(value: Any) -> bool:
    level = [value]
    for _ in range(DEEPEST):
        level = [
            part
            for one in level
            if isinstance(one, dict | list)
            for part in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return True
    return False


def _number(value: int | float, key: str, visit: Visit) -> Any:
    if isinstance(value, float) and not value.is_integer():
        return value
    if abs(value) >= 1e30:  # no number of anything, and slow to write
        return value
    digits = str(int(value))
    changed = visit(digits, key, True)
    return value if changed == digits else changed
