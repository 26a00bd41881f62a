"""Merging patterns that are alike: messages that differ only in words that a mask cannot know (names of
users, tools, files).

Patterns of equally many words are merged where all but one word agree and that word has at least
:data:`VARIANTS` values, or where so many words agree (:data:`ALIKE`) that the other hardly matters. The word
becomes ``*``, and the same is done again until nothing changes. Each round looks at the whole set at once, so
the answer depends on the set of patterns, not on their order. It is the reconciling step of AEL (Jiang et
al., "Abstracting execution logs to execution events", 2008), made independent of order.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Final

VARIANTS: Final = 5
ALIKE: Final = 12
Pattern = tuple[str, ...]
_WORDS = re.compile(r"[^\s=:,;()\[\]{}|\"'`<>]+|[=:,;()\[\]{}|\"'`<>]")
_MARKS: Final = frozenset("=:,;()[]{}|\"'`<>")


def merged_patterns(patterns: Iterable[str]) -> dict[str, str]:
    """For each masked message the pattern it belongs to, whose text may have more ``*`` than its own."""
    texts = {text: tuple(_WORDS.findall(text)) for text in set(patterns)}
    merged: dict[Pattern, Pattern] = {words: words for words in texts.values()}
    while changes := _round(set(merged.values())):
        merged = {words: changes.get(now, now) for words, now in merged.items()}
    shown = {words: text for text, words in sorted(texts.items(), reverse=True)}
    return {text: _text(merged[words], shown) for text, words in texts.items()}


def _text(words: Pattern, shown: dict[Pattern, str]) -> str:
    return shown.get(words) or " ".join(words)


def _round(patterns: set[Pattern]) -> dict[Pattern, Pattern]:
    """What each pattern becomes, for those that are merged with another."""
    links = [
        members
        for shape, members in _by_shape(patterns).items()
        if len(members) > 1 and (len(members) >= VARIANTS or _count(shape) >= ALIKE or shape in members)
    ]
    changes: dict[Pattern, Pattern] = {}
    for group in _joined(links):
        columns = zip(*group, strict=True)
        merged = tuple(column[0] if len(set(column)) == 1 else "*" for column in columns)
        changes |= {one: merged for one in group if one != merged}
    return changes


def _by_shape(patterns: set[Pattern]) -> dict[Pattern, set[Pattern]]:
    """Patterns by what they are with one of their words masked; the last word of all stays."""
    shapes: dict[Pattern, set[Pattern]] = defaultdict(set)
    for words in patterns:
        several = _count(words) >= 2
        for place, word in enumerate(words):
            if word == "*" or (several and _is_word(word)):
                shapes[(*words[:place], "*", *words[place + 1 :])].add(words)
    return shapes


def _joined(links: list[set[Pattern]]) -> list[list[Pattern]]:
    """The connected groups of sets that share members."""
    head: dict[Pattern, Pattern] = {}

    def find(one: Pattern) -> Pattern:
        head.setdefault(one, one)
        while head[one] != one:
            head[one] = head[head[one]]
            one = head[one]
        return one

    for members in links:
        first, *others = members
        for other in others:
            head[find(other)] = find(first)
    groups: dict[Pattern, list[Pattern]] = defaultdict(list)
    for one in head:
        groups[find(one)].append(one)
    return list(groups.values())


def _count(words: Pattern) -> int:
    return sum(map(_is_word, words))


def _is_word(word: str) -> bool:
    return word != "*" and word not in _MARKS
