"""Addresses of the Internet protocol, version 4 and 6. Those of the machine itself (127.0.0.1, ::1, 0.0.0.0)
say nothing about anybody and stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import AddressValueError, IPv6Address
from typing import Final

from rules.redaction.found import Found

KIND: Final = "IP"
# Both begin with what `re` finds fast, and look at what stands before it then.
_V4 = re.compile(r"[0-9](?<![\w.\-][0-9])[0-9]{0,2}(?:\.[0-9]{1,3}){3}(?![\w\-])(?!\.\w)")
_V6_REST = re.compile(r":[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:.]{0,40}(?:%\w{1,16})?")
_V6_FIRST = re.compile(r"[0-9A-Fa-f]{0,4}\Z")
# `version 1.2.3.4`, `Chrome/120.0.0.0`, `foo==1.2.3.4`: four numbers that are a version
_WORDS: Final = ("version", " ver", " v", " release", " build", " rev", " section", " chapter", " oid")
_BROWSERS: Final = (
    "chrome", "chromium", "crios", "edg", "edge", "edga", "opr", "opera", "safari", "firefox", "fxios",
    "version", "applewebkit", "electron", "yabrowser", "samsungbrowser", "brave", "vivaldi", "headlesschrome",
)  # fmt: skip
_BEFORE: Final = 20  # characters that are looked at for such a word


def ips(text: str) -> Iterator[Found]:
    """The addresses of a text; four numbers behind the word "version" or a browser's name are none."""
    for match in _V4.finditer(text):
        address = _v4(match[0])
        if address and not _is_version(text[max(0, match.start() - _BEFORE) : match.start()]):
            yield Found(match.start(), match.end(), KIND, address)
    if text.count(":") >= 2:
        yield from _of_v6(text)


def _v4(written: str) -> str:
    """The address in its usual spelling; empty for four numbers that are none, or one of the machine
    itself.
    """
    octets = [int(octet) for octet in written.split(".")]
    is_own = octets[0] == 127 or octets in ([0] * 4, [255] * 4)
    return "" if is_own or max(octets) > 255 else ".".join(map(str, octets))


def _is_version(before: str) -> bool:
    """Whether what stands in front of four numbers says that they are a version."""
    if before.endswith("/"):
        return before[:-1].lower().endswith(_BROWSERS)
    if before.rstrip(" ").endswith(("==", ">=", "<=", "~=", "^", "~>")):
        return True
    word = before.rstrip(" :=.\"'")
    return word != before and f" {word.lower()}".endswith(_WORDS)


def _of_v6(text: str) -> Iterator[Found]:
    for match in _V6_REST.finditer(text):
        first = _V6_FIRST.search(text, max(0, match.start() - 4), match.start())
        start = first.start() if first is not None else match.start()
        before = text[start - 1 : start]
        if before and (before.isalnum() or before in "_:."):
            continue
        whole = text[start : match.end()]
        written, _, zone = whole.partition("%")
        if not zone:
            written = whole = written.rstrip(".:") + ("::" if written.endswith("::") else "")
        end = start + len(whole)
        if _may_be_v6(written) and not text[end : end + 1].isalnum() and (address := _v6(written)):
            yield Found(start, end, KIND, address)


def _v6(written: str) -> str:
    try:
        address = IPv6Address(written)
    except AddressValueError:
        return ""
    return "" if address.is_loopback or address.is_unspecified else str(address)


def _may_be_v6(written: str) -> bool:
    """Whether it looks like one, and not like names of a program (``a::b``, ``de::fa``) or a time."""
    groups = [group for group in written.split(":") if group]
    return (
        written.count(":") >= 2
        and any(char.isdigit() for char in written)
        and (len(groups) >= 3 or ("::" in written and bool(groups) and len(groups[0]) >= 3))
    )
