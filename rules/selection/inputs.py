"""The inputs of a trace as a selection compares them: two digests, and a MinHash of their words.

Inputs are *equal* when they differ in white space or the width of characters alone. Case and numbers count:
order 17 and order 18, ``US`` and ``us`` may be two cases. Inputs are *near-duplicates* by what a user asked:
the words of the user's messages in lower case, numbers masked, system prompts and earlier answers left out,
which would make everything alike. What is compared is bounded: the first :data:`TEXT_LENGTH` characters; what
has fewer than :data:`LEAST_WORDS` words is like nothing else.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np

PERMUTATIONS: Final = 128
TEXT_LENGTH: Final = 20_000
LEAST_WORDS: Final = 3
_SEED: Final = 20_261
_NUMBER = re.compile(r"\d+")
_SPACES = re.compile(r"\s+")
_IDEOGRAPHS = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"  # scripts that put no spaces between words
_WORD = re.compile(f"[{_IDEOGRAPHS}]|[^\\W{_IDEOGRAPHS}]+")
_OF_USER: Final = frozenset({"user", "human"})


@dataclass(frozen=True)
class Features:
    """What a selection knows of inputs: see :class:`rules.selection.candidate.Candidate`."""

    record: str
    inputs: str
    signature: bytes


def features(inputs: Any) -> Features:
    """The features of a trace's inputs, a JSON value that is nested at most as deep as Python can go."""
    return Features(_digest(inputs), _digest(_normal(inputs)), signature(query_text(inputs)))


def query_text(inputs: Any) -> str:
    """What was asked, in lower case: the user's messages where there are any, else every text and number."""
    texts = list(_user_messages(inputs)) or list(_leaves(inputs))
    return _normal_text(" ".join(texts)[:TEXT_LENGTH]).casefold()


def signature(text: str) -> bytes:
    """The MinHash of the words of a normalised text and their pairs, empty where it has too few.

    128 permutations of 32 bits, little-endian: the share of places in which two agree estimates the Jaccard
    similarity of the two sets, with a standard error of at most 0.045 (Broder, "On the resemblance and
    containment of documents", 1997).
    """
    from rensa import RMinHash

    words = _WORD.findall(_NUMBER.sub("0", text))
    if len(words) < LEAST_WORDS:
        return b""
    pairs = (f"{first} {second}" for first, second in pairwise(words))
    sketch = RMinHash(num_perm=PERMUTATIONS, seed=_SEED)
    sketch.update(sorted({*words, *pairs}))
    return np.asarray(sketch.digest(), dtype="<u4").tobytes()


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _normal(value: Any) -> Any:
    """The value with every text in it normalised; keys stay."""
    if isinstance(value, str):
        return _normal_text(value)
    if isinstance(value, Mapping):
        return {str(key): _normal(part) for key, part in value.items()}
    return [_normal(part) for part in value] if isinstance(value, list) else value


def _normal_text(text: str) -> str:
    whole = text.encode("utf-8", "replace").decode()  # half a surrogate pair is no character
    return _SPACES.sub(" ", unicodedata.normalize("NFKC", whole)).strip()


def _user_messages(value: Any) -> Iterator[str]:
    """The texts of messages in the form of chat APIs: ``{role: user, content: …}``, wherever they stand."""
    if isinstance(value, Mapping):
        if str(value.get("role", value.get("type", ""))).lower() in _OF_USER and "content" in value:
            yield from _leaves(_without_kinds(value["content"]))
            return
        parts = list(value.values())
    else:
        parts = value if isinstance(value, list) else []
    for part in parts:
        yield from _user_messages(part)


def _without_kinds(content: Any) -> Any:
    """The content of a message without the kinds of its parts."""
    parts = content if isinstance(content, list) else [content]
    return [
        {key: value for key, value in part.items() if key != "type"} if isinstance(part, Mapping) else part
        for part in parts
    ]


def _leaves(value: Any) -> Iterator[str]:
    """Every text and number of a value, by the order of keys."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, bool) or value is None:
        return
    elif isinstance(value, int | float):
        yield repr(value)
    elif isinstance(value, Mapping):
        for key in sorted(value, key=str):
            yield from _leaves(value[key])
    elif isinstance(value, list):
        for part in value:
            yield from _leaves(part)
