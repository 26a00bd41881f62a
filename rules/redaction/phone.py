"""Telephone numbers: international ones (``+49 …``) anywhere, those of one region as it writes them, and any
behind a word such as "phone:". Whether a number can exist is asked of the metadata of ``phonenumbers``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

from rules.redaction.found import Found

KIND: Final = "PHONE"
MOST: Final = 20_000  # candidates of a text that are looked up; beyond that each counts as a number
_GAP: Final = r"[ \u00a0\u2009().\-/\u2010\u2011]{0,3}"
_CANDIDATE = re.compile(rf"\d(?<![\w.,]\d)(?:{_GAP}\d){{6,17}}(?!\w)(?![\-/.]\d)")
_ALONE = re.compile(rf"\s*\+?\(?\d(?:{_GAP}\d){{6,14}}\s*")
_MOST_DIGITS: Final = 15  # of a number, ITU-T E.164
_SURE: Final = 10  # digits behind a plus sign that are a number, given out or not
_BEFORE: Final = 32  # characters that are looked at for a word that announces a number
_WORD_BEFORE = re.compile(
    r"(?i)(?<![a-z])(?:tele?phone|telefon|tel|t\u00e9l|phone|mobile|mobil|cell|cellphone|fax|whatsapp|handy|hotline|sms|"
    r"call|dial|ring|text|anrufen)"
    r"(?:[ \-]?(?:numbers?|no|nr|me|us|him|her|them|at|on|is|unter))*\.?[ :=#\"'\\]{1,5}\Z"
)
_DATE = re.compile(r"\d{4}[\-/.]\d{1,2}[\-/.]\d{1,2}(?!\d)|\d{1,2}[\-/.]\d{1,2}[\-/.]\d{4}(?!\d)")
_AMOUNT = re.compile(r"\d{1,3}(?:\.\d{3})+|\d{1,2}(?: \d{3})+")
_CUT = re.compile(r"(?<=\d)[^\d]+\d+\Z")
_FRACTION = re.compile(r"\d+\.\d+")


def phones(text: str, region: str | None = None) -> Iterator[Found]:
    """The numbers of a text; national ones only of that region (two letters, ISO 3166), or behind a word that
    announces one.
    """
    looked_up = 0
    for match in _CANDIDATE.finditer(text):
        start, end = match.span()
        start -= text[start - 1 : start] == "(" and ")" in match[0]
        start -= text[start - 1 : start] == "+"
        looked_up += region is not None or text[start] != match[0][0]
        if looked_up > MOST:
            yield Found(start, end, KIND, _canonical(text[start:end]))
        elif found := _at(text, start, end, region):
            yield found


def is_phone_text(text: str) -> str:
    """The digits of a text that is a number and nothing else, of 7 to 15 digits; empty if it is none."""
    if not _ALONE.fullmatch(text) or _DATE.match(text.strip()):
        return ""
    return _canonical(text)


def _at(text: str, start: int, end: int, region: str | None) -> Found | None:
    written = text[start:end]
    if written.startswith("+"):
        return None if text[start - 1 : start].isalnum() else _found(start, *_shortened(written, None))
    if date := _DATE.match(written):  # a number may stand behind it
        rest = _CANDIDATE.search(text, start + date.end(), end)
        return _at(text, rest.start(), end, region) if rest else None
    if written.startswith("00"):  # for the plus sign
        number, length = _shortened(f"+{written[2:]}", None)
        if number:
            return Found(start, start + length + 1, KIND, number)
    if _WORD_BEFORE.search(text, max(0, start - _BEFORE), start):
        return _announced(written, start, region)
    return _national(text, start, end, region) if region else None


def _announced(written: str, start: int, region: str | None) -> Found | None:
    """A number that a word announces: one of the region, else whatever digits there are, at most 15."""
    if region is not None and (found := _found(start, *_shortened(written, region))):
        return found
    while sum(map(str.isdecimal, written)) > _MOST_DIGITS and (cut := _CUT.search(written)):
        written = written[: cut.start()]
    digits = _canonical(written)
    return Found(start, start + len(written), KIND, digits) if 7 <= len(digits) <= _MOST_DIGITS else None


def _national(text: str, start: int, end: int, region: str) -> Found | None:
    """A number as the region writes it; amounts, fractions and parts of longer words are none."""
    written = text[start:end]
    if text[start - 1 : start] in tuple("$€£¥#-/") or text[max(0, start - 2) : start] in ("$ ", "€ ", "£ "):
        return None
    if text[end : end + 1] in tuple(".,") and text[end + 1 : end + 2].isdigit():
        return None
    if not _is_written_as_phone(written, region):
        return None
    return _found(start, *_shortened(written, region))


def _found(start: int, number: str, length: int) -> Found | None:
    return Found(start, start + length, KIND, number) if number else None


@lru_cache(maxsize=16_384)
def _shortened(written: str, region: str | None) -> tuple[str, int]:
    """The number and how many characters it takes; empty if it is none.

    Digits may go on behind it ("+49 30 1234567 2026"): groups are cut off at the end until it is a number.
    """
    while sum(map(str.isdecimal, written)) >= 7:
        if number := _valid(written, region):
            return number, len(written)
        cut = _CUT.search(written)
        if cut is None:
            break
        written = written[: cut.start()]
    return "", 0


def _valid(written: str, region: str | None) -> str:
    """The number in E.164, if there can be such a one; with a plus sign it may be one not given out yet."""
    import phonenumbers  # the metadata of all countries: only where a candidate was found

    try:
        parsed = phonenumbers.parse(written, region)
    except phonenumbers.NumberParseException:
        return ""
    long = region is None and sum(map(str.isdecimal, written)) >= _SURE
    if not (phonenumbers.is_valid_number(parsed) or (long and phonenumbers.is_possible_number(parsed))):
        return ""
    return str(phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164))


def _is_written_as_phone(written: str, region: str) -> bool:
    """Whether digits without a country code are written as the region writes numbers: with its trunk prefix,
    or in groups that are no date and no amount.
    """
    groups = re.findall(r"\d+", written)
    prefix = _trunk_prefix(region)
    if _FRACTION.fullmatch(written) or _AMOUNT.fullmatch(written):
        return False
    if prefix == "1":  # North America writes it without
        return [len(group) for group in groups[-3:]] == [3, 3, 4]
    if prefix:
        return _canonical(written).startswith(prefix)
    return len(groups) >= 2 and len(groups[-1]) >= 2


@lru_cache(maxsize=4)
def _trunk_prefix(region: str) -> str | None:
    from phonenumbers import PhoneMetadata

    metadata: Any = PhoneMetadata.metadata_for_region(region, None)
    return None if metadata is None else metadata.national_prefix


def is_region(text: str) -> bool:
    """Whether it is a region that ``phonenumbers`` knows, such as ``DE``."""
    from phonenumbers import SUPPORTED_REGIONS

    return text in SUPPORTED_REGIONS


def _canonical(written: str) -> str:
    """The digits as ASCII, with a plus sign in front if there is one."""
    plus = "+" if "+" in written else ""
    return plus + "".join(str(int(char)) for char in written if char.isdecimal())
