"""Numbers of payment cards: the ranges and lengths of the issuers, the usual groups of digits, and the check
digit (ISO/IEC 7812, Luhn).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from rules.redaction.found import Found

KIND: Final = "CARD"
# It begins with a class of characters, which `re` finds fast, and looks at what stands before it then.
_CANDIDATE = re.compile(
    r"\d(?<![0-9A-Za-z]\d)(?<![0-9][.,]\d)"
    r"(?:\d{12,18}|\d{3}([ \-.])\d{4}\1\d{4}\1\d{1,4}(?:\1\d{1,3}(?!\d))?|\d{3}([ \-.])\d{6}\2\d{4,5})"
    r"(?![0-9A-Za-z])(?!\.\d)"
)
# First and last prefix of a range, and its lengths.
_ISSUERS: Final = (
    ("4", "4", (13, 16, 19)),  # Visa
    ("51", "55", (16,)),  # Mastercard
    ("2221", "2720", (16,)),
    ("34", "34", (15,)),  # American Express
    ("37", "37", (15,)),
    ("6011", "6011", (16, 17, 18, 19)),  # Discover
    ("644", "659", (16, 17, 18, 19)),
    ("300", "305", (14,)),  # Diners Club
    ("3095", "3095", (14,)),
    ("36", "36", (14,)),
    ("38", "39", (14,)),
    ("3528", "3589", (16, 17, 18, 19)),  # JCB
    ("62", "62", (16, 17, 18, 19)),  # UnionPay
    ("2200", "2204", (16,)),  # Mir
    ("50", "50", (16, 19)),  # Maestro
    ("56", "58", (16, 19)),
    ("63", "63", (16, 19)),
    ("67", "67", (16, 19)),
)
_TWICE: Final = str.maketrans("0123456789", "0246813579")


def cards(text: str) -> Iterator[Found]:
    """The numbers of a text; a group of one to three digits behind one (a check code) is taken along."""
    at = 0
    while match := _CANDIDATE.search(text, at):
        at = match.end()
        if number := _number(match[0]):
            yield Found(match.start(), match.end(), KIND, number)
        elif match[1] or match[2]:
            at = match.start() + 1  # the next group may begin one
            while at < len(text) and text[at].isdigit():
                at += 1


def _number(candidate: str) -> str:
    """The digits of the card, with or without a last group; empty if it is none."""
    groups = re.split(r"[ \-.]", candidate)
    for some in (groups, groups[:-1]):
        digits = "".join(some)
        if not digits.isascii():
            digits = "".join(str(int(char)) for char in digits)
        if is_card(digits):
            return digits
    return ""


def is_card(digits: str) -> bool:
    """Whether ASCII digits are a card's number: an issuer's range, its length and the check digit."""
    return len(digits) in _lengths(digits[:4]) and _luhn(digits)


@lru_cache(maxsize=10_000)
def _lengths(beginning: str) -> frozenset[int]:
    """How many digits a number that begins with these four may have."""
    of_issuers = (lengths for first, last, lengths in _ISSUERS if first <= beginning[: len(first)] <= last)
    return frozenset(length for lengths in of_issuers for length in lengths)


def _luhn(digits: str) -> bool:
    single, twice = digits[-1::-2], digits[-2::-2].translate(_TWICE)
    return sum(map(int, single + twice)) % 10 == 0
