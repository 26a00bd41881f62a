"""A detector of the user's own, such as Presidio: a function that is called with all texts of a record."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from rules.errors import PluginError
from rules.redaction.found import Found

Plugin = Callable[[Sequence[str]], Iterable[Iterable[Any]]]
_KIND = re.compile(r"[A-Z][A-Z0-9_]{0,39}")


def found_by(plugin: Plugin, texts: Sequence[str]) -> dict[str, list[Found]]:
    """What the function finds in each text.

    It answers with a list for each text, of ``(start, end, kind)`` or of objects with ``start``, ``end`` and
    ``entity_type``, as Presidio's analyzer has them.

    Raises:
        PluginError: it raised an error or answered with something else.
    """
    if not texts:
        return {}
    try:
        answers = [list(one) for one in plugin(list(texts))]
    except Exception as error:  # whatever it is, the record is refused
        raise PluginError(f"the redaction plugin failed with {type(error).__name__}") from error
    if len(answers) != len(texts):
        raise PluginError(f"the redaction plugin answered {len(answers)} texts of {len(texts)}")
    return {text: list(_of(text, answer)) for text, answer in zip(texts, answers, strict=True)}


def _of(text: str, answer: Iterable[Any]) -> Iterator[Found]:
    for one in answer:
        is_row = isinstance(one, tuple | list) and len(one) == 3
        parts = one if is_row else [getattr(one, name, None) for name in ("start", "end", "entity_type")]
        start, end = (_place(part) for part in parts[:2])
        if not 0 <= start < end <= len(text):
            raise PluginError("the redaction plugin answered with a part that is not in the text")
        kind = str(parts[2]).upper()
        if not _KIND.fullmatch(kind):
            raise PluginError("the redaction plugin answered with a kind that is no name")
        yield Found(start, end, kind, text[start:end])


def _place(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else -1
