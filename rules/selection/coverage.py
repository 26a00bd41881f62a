"""How much of the failures of a time a dataset covers: the share of those whose error pattern it has, and how
much it covers at least of the failures to come.

The share that was seen flatters a set: patterns that occurred once stand for many that did not occur yet.
Good and Turing's estimate of what was never seen is the share of patterns that occurred once (Good, "The
population frequencies of species and the estimation of population parameters", 1953). The lower bound takes
it further, by a sample of its own: a hash of the trace id splits failures into two halves; the patterns of
the first half that the set has are tried on the second half, whose failures are hits or misses, and the exact
lower bound of a share is that of Clopper and Pearson ("The use of confidence or fiducial limits illustrated
in the case of the binomial", 1934). What is tried is a part of what the set covers, so the bound holds for
the set as well, whatever the patterns and however rare, if failures come independently of each other; known
bounds of the missing mass itself (McAllester and Ortiz, 2003) are empty below some fifty failures and far
below this one in between.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

CONFIDENCE: Final = 0.95
FREQUENT: Final = 0.01
"""The share of all failures from which on a class that a set lacks is worth a line."""


@dataclass(frozen=True)
class Coverage:
    """How a set covers the failures of a time.

    ``failures`` is their number, ``share`` the part of them whose pattern the set has, ``unseen`` Good and
    Turing's estimate of the share of failures to come whose pattern did not occur yet, ``at_least`` the 95%
    lower bound of the share of failures to come that the set covers. All three are None where nothing failed.
    """

    failures: int
    patterns: int
    share: float | None
    unseen: float | None
    at_least: float | None


def coverage(failures: Iterable[tuple[str, str]], covered: Collection[str]) -> Coverage:
    """The coverage of failures (trace id, pattern) by a set that has the patterns ``covered``."""
    halves: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    for trace_id, pattern in failures:
        halves[_half(trace_id)][pattern] += 1
    known, tried = halves
    counts = known + tried
    number = counts.total()
    if not number:
        return Coverage(0, 0, None, None, None)
    within = set(covered)
    hits = sum(count for pattern, count in tried.items() if pattern in within and pattern in known)
    once = sum(1 for count in counts.values() if count == 1)
    share = sum(count for pattern, count in counts.items() if pattern in within) / number
    return Coverage(number, len(counts), share, once / number, at_least(hits, tried.total()))


def at_least(hits: int, tries: int, confidence: float = CONFIDENCE) -> float:
    """The lower bound of a share of which ``hits`` of ``tries`` were seen (Clopper and Pearson)."""
    if not hits:
        return 0.0
    from scipy.special import betaincinv

    return float(betaincinv(hits, tries - hits + 1, 1 - confidence))


def missing(counts: Mapping[str, int], present: Collection[str]) -> list[tuple[str, int]]:
    """The classes of a set's time that it lacks, at least :data:`FREQUENT` of the whole, the most frequent
    first.
    """
    least = FREQUENT * sum(counts.values())
    lacking = [(name, count) for name, count in counts.items() if name not in present and count >= least]
    return sorted(lacking, key=lambda one: (-one[1], one[0]))


def _half(trace_id: str) -> int:
    return (
        blake2b(trace_id.encode("utf-8", "surrogatepass"), digest_size=1, person=b"coverage").digest()[0] & 1
    )
