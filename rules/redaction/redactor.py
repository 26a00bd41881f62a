"""Everything that is known of one record, redacted at once.

Each value that a detector finds gets a token of its kind and a number: the first place at which it stands, in
the order of the walk (:mod:`rules.redaction.walk`), so the same content has the same tokens whatever the
order of its keys. A token that a text holds already is given to nothing else.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final

from rules.redaction.card import KIND as CARD
from rules.redaction.card import cards
from rules.redaction.email import KIND as EMAIL
from rules.redaction.email import emails
from rules.redaction.found import Found, FoundBy, disjoint, replaced
from rules.redaction.iban import KIND as IBAN
from rules.redaction.iban import ibans
from rules.redaction.ip import KIND as IP
from rules.redaction.ip import ips
from rules.redaction.own import matches
from rules.redaction.phone import KIND as PHONE
from rules.redaction.phone import is_phone_text, phones
from rules.redaction.plugin import Plugin, found_by
from rules.redaction.secret import KIND as SECRET
from rules.redaction.secret import secret_of_key, secrets
from rules.redaction.walk import Walk

DETECTORS: Final = ("email", "phone", "card", "iban", "ip", "secret")
VERSION: Final = 1  # of what the detectors find: with another one, records are looked at again
_RANK: Final = (SECRET, IBAN, CARD, EMAIL, IP, PHONE)
_TOKEN = re.compile(r"\[([A-Z][A-Z0-9_]*)_([1-9]\d{0,8})\]")
_PHONE_KEY = re.compile(
    r"(?i)(?:^|.*[_\-. ])(?:tele?)?(?:phone|mobile|cell|fax|msisdn|whatsapp)(?:[_ ]?(?:number|no|nr))?"
)
_WORDS_ONLY = re.compile(r"[A-Za-z\s_]{0,60}")  # nothing that a detector finds


@dataclass(frozen=True)
class Redacted:
    """Values without what was found in them, and how many different values of each kind that was."""

    values: tuple[Any, ...]
    counts: Mapping[str, int]


@dataclass(frozen=True)
class Redactor:
    """What is looked for. Pure: the same values give the same answer.

    Attributes:
        detectors: some of :data:`DETECTORS`.
        patterns: own patterns (RE2) by their name, which is the kind of their tokens in upper case.
        region: whose telephone numbers are known without a country code, such as ``DE``; None: nobody's.
        plugin: a function that finds more (:func:`rules.redaction.plugin.found_by`).
        plugin_name: names it, for :attr:`fingerprint`.
    """

    detectors: Sequence[str] = DETECTORS
    patterns: Mapping[str, str] = field(default_factory=dict)
    region: str | None = None
    plugin: Plugin | None = None
    plugin_name: str = ""

    @property
    def fingerprint(self) -> str:
        """Eight hexadecimal digits over all that decides what is found."""
        known = [
            VERSION,
            sorted(self.detectors),
            sorted(self.patterns.items()),
            self.region,
            self.plugin_name,
        ]
        return blake2b(json.dumps(known).encode(), digest_size=4).hexdigest()

    def record(self, *values: Any) -> Redacted:
        """The JSON values of one record, redacted together: the same value has the same token in all.

        Raises:
            TooDeepError: a value is nested too deep.
            PluginError: the plugin failed.
        """
        work = _Work(self)
        for value in values:
            work.walk.value(value, work.collect)
        work.find()
        found = tuple(work.walk.value(value, work.replace) for value in values)
        return Redacted(found, dict(sorted(work.counts.items())))

    def in_text(self, text: str) -> Iterator[Found]:
        """What the detectors and patterns find in a text by itself."""
        if not _WORDS_ONLY.fullmatch(text):
            for name in self.detectors:
                yield from _BY_NAME[name](text) if name != "phone" else phones(text, self.region)
        for name, pattern in self.patterns.items():
            yield from matches(pattern, name.upper(), text)

    @property
    def rank(self) -> tuple[str, ...]:
        """The kinds, the one that wins where parts overlap first."""
        return (*(name.upper() for name in self.patterns), *_RANK)

    def found(self, text: str) -> list[Found]:
        """What is replaced in a text by itself, in its order."""
        return disjoint(text, self.in_text(text), self.rank)

    def of(self, text: str, key: str, is_number: bool) -> Iterator[Found]:
        """What is found in a text that stands under a key, or in the digits of a number."""
        if is_number:
            if "card" in self.detectors and len(text) >= 13:
                yield from cards(text)
            for name, pattern in self.patterns.items():
                yield from matches(pattern, name.upper(), text)
            return
        if key and len(text) <= 10_000:
            if "secret" in self.detectors and secret_of_key(key, text):
                yield Found(0, len(text), SECRET, text)
            if "phone" in self.detectors and _PHONE_KEY.fullmatch(key) and (number := is_phone_text(text)):
                yield Found(0, len(text), PHONE, number)
        yield from self.in_text(text)


_BY_NAME: Final[dict[str, FoundBy]] = {
    "email": emails,
    "phone": phones,
    "card": cards,
    "iban": ibans,
    "ip": ips,
    "secret": secrets,
}
_Place = tuple[str, str, bool]


class _Work:
    """The redaction of one record."""

    def __init__(self, redactor: Redactor) -> None:
        self.walk = Walk()
        self.counts: Counter[str] = Counter()
        self._redactor = redactor
        self._found: dict[_Place, list[Found]] = {}
        self._tokens: dict[tuple[str, str], str] = {}
        self._taken: set[str] = set()
        self._last: Counter[str] = Counter()

    def collect(self, text: str, key: str, is_number: bool) -> str:
        """Remember a text, in the order of the first visits."""
        self._found.setdefault((text, key, is_number), [])
        if "[" in text:
            self._taken.update(match[0] for match in _TOKEN.finditer(text))
        return text

    def find(self) -> None:
        """Look into all texts and number what is found in them."""
        plugin = self._redactor.plugin
        texts = list(dict.fromkeys(text for text, _, is_number in self._found if not is_number and text))
        more = {} if plugin is None else found_by(plugin, texts)
        for place in self._found:
            self._found[place] = self._of(place, () if place[2] else more.get(place[0], ()))
            for one in self._found[place]:
                self._token(one)

    def replace(self, text: str, key: str, is_number: bool) -> str:
        """The text with its tokens."""
        place = (text, key, is_number)
        found = self._found[place] if place in self._found else self._of(place, ())
        return replaced(text, found, self._token) if found else text

    def _of(self, place: _Place, more: Sequence[Found]) -> list[Found]:
        text = place[0]
        return disjoint(text, [*self._redactor.of(*place), *more], self._redactor.rank) if text else []

    def _token(self, found: Found) -> str:
        known = self._tokens.get((found.kind, found.value))
        if known is not None:
            return known
        while True:
            self._last[found.kind] += 1
            token = f"[{found.kind}_{self._last[found.kind]}]"
            if token not in self._taken:
                break
        self._tokens[found.kind, found.value] = token
        self.counts[found.kind] += 1
        return token
