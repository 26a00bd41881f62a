"""International bank account numbers (ISO 13616): a country's length and the check digits (mod 97)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Final

from rules.redaction.found import Found

KIND: Final = "IBAN"
# The lengths of the registry of SWIFT, and of countries that use the format without being in it.
_LENGTHS: Final[dict[str, int]] = {
    country: int(length)
    for length, countries in {
        "15": "NO",
        "16": "BE",
        "18": "DK FI FK FO GL NL SD",
        "19": "MK SI",
        "20": "AT BA EE KZ LT LU MN XK",
        "21": "CH CR HR LI LV",
        "22": "BG BH DE GB GE IE ME RS VA",
        "23": "AE GI IL IQ OM SO TL",
        "24": "AD CZ DZ ES MD PK RO SA SE SK TN VG",
        "25": "AO CV LY MZ PT ST",
        "26": "IR IS TR",
        "27": "BI BF CF CG CM DJ FR GA GQ GR IT KM MC MG MR SM",
        "28": "AL AZ BY BJ CI CY DO EG GT GW HN HU LB MA ML NE NI PL SN SV TD TG",
        "29": "BR PS QA UA",
        "30": "JO KW MU YE",
        "31": "MT SC",
        "32": "LC",
        "33": "RU",
    }.items()
    for country in countries.split()
}
# From the digits on, which are rarer than letters, so found faster.
_START = re.compile(r"[0-9](?<=[A-Za-z]{2}.)(?<![0-9A-Za-z][A-Za-z]{2}.)[0-9]")


def ibans(text: str) -> Iterator[Found]:
    """The account numbers of a text, in one piece or in groups, in upper or lower case."""
    for match in _START.finditer(text):
        start = match.start() - 2
        length = _LENGTHS.get(text[start : start + 2].upper())
        written = _of_length(length).match(text, start) if length is not None else None
        if written is not None:
            number = re.sub(r"[ \-]", "", written[0]).upper()
            if _is_valid(number):
                yield Found(start, written.end(), KIND, number)


@cache
def _of_length(length: int) -> re.Pattern[str]:
    return re.compile(rf"[A-Za-z]{{2}}[0-9]{{2}}(?:[ \-]?[0-9A-Za-z]){{{length - 4}}}(?![0-9A-Za-z])")


def _is_valid(number: str) -> bool:
    return int("".join(str(int(char, 36)) for char in number[4:] + number[:4])) % 97 == 1
