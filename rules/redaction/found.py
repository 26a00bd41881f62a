"""What a detector finds in a text, and texts with what was found replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple


class Found(NamedTuple):
    """A part of a text, ``[start, end)`` in characters: what kind it is, and its value in one spelling, so
    that two spellings of one number are one value.
    """

    start: int
    end: int
    kind: str
    value: str


FoundBy = Callable[[str], Iterator[Found]]


def disjoint(text: str, found: Iterable[Found], rank: Sequence[str]) -> list[Found]:
    """The same in the order of the text, where those that overlap have become one.

    It covers all that they covered, so that nothing of any of them is left, and is of the kind that stands
    first in ``rank``; kinds that do not stand there come last.
    """
    place = {kind: number for number, kind in enumerate(rank)}
    merged: list[Found] = []
    for one in sorted(set(found)):
        if not merged or one.start >= merged[-1].end:
            merged.append(one)
            continue
        last = merged[-1]
        best = min(last, one, key=lambda each: (place.get(each.kind, len(place)), each.kind))
        start, end = last.start, max(last.end, one.end)
        whole = (best.start, best.end) == (start, end)
        merged[-1] = Found(start, end, best.kind, best.value if whole else text[start:end])
    return merged


def replaced(text: str, found: Sequence[Found], token_of: Callable[[Found], str]) -> str:
    """The text with its disjoint findings replaced."""
    parts, at = [], 0
    for one in found:
        parts += [text[at : one.start], token_of(one)]
        at = one.end
    return "".join([*parts, text[at:]])
