"""What the conditions of a set share: parts that occur more than once, plain texts to search for together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from rules.dialect.nodes import Matches, Node, walk
from rules.dialect.patterns import understood


@dataclass(frozen=True)
class Shared:
    """``parts`` occur more than once; ``needles`` are by text and whether it is compared in lower case."""

    parts: frozenset[Node]
    needles: dict[tuple[Node, bool], tuple[str, ...]]


def shared(nodes: Iterable[Node]) -> Shared:
    """What distinct conditions share."""
    seen = Counter(part for node in nodes for part in walk(node))
    needles: dict[tuple[Node, bool], dict[str, None]] = {}
    for part in seen:
        if isinstance(part, Matches):
            pattern = understood(part.op, part.pattern)
            needles.setdefault((part.left, pattern.lower), {}).update(dict.fromkeys(pattern.needles))
    return Shared(
        frozenset(part for part, times in seen.items() if times > 1),
        {place: tuple(found) for place, found in needles.items()},
    )
