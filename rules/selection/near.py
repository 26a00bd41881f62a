"""Inputs that are alike, by their MinHash: near-duplicates, and kinds of query.

Both look at signatures in an order that follows from the signatures alone, so that they do not depend on the
order in which traces came.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Final

import numpy as np
import numpy.typing as npt

NEAR_DUPLICATE: Final = 0.7
"""The Jaccard similarity of the words and pairs of words from which on two inputs are near-duplicates."""
SAME_KIND: Final = 0.3
MOST_KINDS: Final = 24
OTHER_KIND: Final = "other"
_BANDS: Final = 32  # bands of 4 places: of two inputs at the bound, 99.98% share one


class NearDuplicates:
    """The inputs that were accepted so far, found by bands of their signatures (locality-sensitive hashing).

    At most ``most`` accepted inputs of a class are near-duplicates of any that is accepted later.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._signatures: list[npt.NDArray[np.uint32]] = []
        self._in_band: dict[tuple[str, int, bytes], list[int]] = defaultdict(list)
        self._full: set[tuple[str, bytes]] = set()

    def is_full(self, of_class: str, signature: bytes) -> bool:
        """Whether as many as may be are near-duplicates of these inputs already."""
        if not signature or (of_class, signature) in self._full:
            return bool(signature)
        own = np.frombuffer(signature, "<u4")
        near: set[int] = set()
        looked_at: set[int] = set()
        for band in _bands(of_class, signature):
            for place in self._in_band.get(band, ()):
                if place not in looked_at:
                    looked_at.add(place)
                    if np.count_nonzero(self._signatures[place] == own) >= NEAR_DUPLICATE * own.size:
                        near.add(place)
            if len(near) >= self._most:
                self._full.add((of_class, signature))
                return True
        return False

    def accept(self, of_class: str, signature: bytes) -> None:
        """Take inputs in."""
        if signature:
            for band in _bands(of_class, signature):
                self._in_band[band].append(len(self._signatures))
            self._signatures.append(np.frombuffer(signature, "<u4"))


def _bands(of_class: str, signature: bytes) -> Iterator[tuple[str, int, bytes]]:
    width = len(signature) // _BANDS
    return ((of_class, band, signature[band * width : (band + 1) * width]) for band in range(_BANDS))


def query_kinds(signatures: Iterable[bytes]) -> Mapping[bytes, str]:
    """The kind of query of each signature: leader clustering (Hartigan, "Clustering Algorithms", 1975).

    In the order of a hash of the signatures, one that is not alike (:data:`SAME_KIND`) to a leader before it
    leads a kind of its own; after :data:`MOST_KINDS` kinds the rest is :data:`OTHER_KIND`. A new signature
    moves others only where it becomes a leader. One without words is its own kind, "".
    """
    left = sorted({one for one in signatures if one}, key=_hash)
    kinds = {b"": ""}
    matrix = np.array([np.frombuffer(one, "<u4") for one in left])
    places = np.arange(len(left))
    for _ in range(MOST_KINDS):
        if not places.size:
            return kinds
        rows = matrix[places]
        alike = np.count_nonzero(rows == rows[0], axis=1) >= SAME_KIND * matrix.shape[1]
        name = _hash(left[places[0]]).hex()
        kinds |= {left[place]: name for place in places[alike].tolist()}
        places = places[~alike]
    return kinds | {left[place]: OTHER_KIND for place in places.tolist()}


def _hash(signature: bytes) -> bytes:
    return blake2b(signature, digest_size=6).digest()
