"""Elements of a page. Every text and attribute goes through :func:`visible` and is escaped when the tree is
written, so that content of traces can neither end an element nor turn the direction of what follows it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from urllib.parse import urlsplit
from xml.etree.ElementTree import Element, tostring

from tracesieve.terminal import plain

MOST_TEXT = 2000  # characters of one text that a page shows


def visible(text: object, most: int = MOST_TEXT) -> str:
    """``text`` with control and format characters and lone surrogates as escapes (``\\x1b``, ``\\u202e``).

    Of more than ``most`` characters the first ones, and how many there are in all.
    """
    words = str(text)
    if len(words) <= most:
        return plain(words)
    return f"{plain(words[:most])}… ({len(words):,} characters)"


def cut_apart(names: Sequence[str], most: int = MOST_TEXT) -> list[str]:
    """The names cut to ``most`` characters; those that would look the same get some digits of a hash."""
    cuts = [visible(name, most) for name in names]
    alike = Counter(cuts)
    return [
        f"{cut} #{hashlib.blake2b(name.encode('utf-8', 'replace'), digest_size=4).hexdigest()}"
        if alike[cut] > 1
        else cut
        for name, cut in zip(names, cuts, strict=True)
    ]


def element(tag: str, *children: Element | str | None, **attributes: object) -> Element:
    """An element of HTML or SVG; a child that is None is left out, an attribute that is None as well.

    Of an attribute's name a last ``_`` is dropped and another one is a hyphen: ``class_``, ``stroke_width``.
    """
    named = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
    made = Element(tag, {name: visible(value) for name, value in named.items() if value is not None})
    last: Element | None = None
    for child in children:
        if isinstance(child, Element):
            made.append(child)
            last = child
        elif child is not None and last is None:
            made.text = (made.text or "") + visible(child)
        elif child is not None and last is not None:
            last.tail = (last.tail or "") + visible(child)
    return made


def link(text: str, url: str | None) -> Element:
    """A link that says nothing of this page to its target; plain text where ``url`` is none of the web."""
    if url is None or not _is_of_the_web(url):
        return element("span", text)
    return element("a", text, href=url, rel="noopener noreferrer")


def _is_of_the_web(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)


def written(tree: Element) -> str:
    """The tree as HTML, escaped."""
    return tostring(tree, encoding="unicode", method="html")
