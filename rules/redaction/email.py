"""E-mail addresses, also as URLs carry them (``alice%40example.com``)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from rules.redaction.found import Found

KIND: Final = "EMAIL"
_DOMAIN: Final = r"((?:[^\W_][\w\-]{0,62}\.){1,8}(?:xn--[a-z0-9\-]{2,59}|[^\W\d_]{2,63}))"
# A local part is taken whole or not at all (`++`), and only from its beginning: linear in any text.
_PLAIN = re.compile(r"(?<![\w.%+\-])([\w.%+\-]++)@" + _DOMAIN)
_IN_URL = re.compile(r"(?<![\w.+\-])([\w.+\-]++)%40" + _DOMAIN)
# `icon@2x.png`: names of files, which end in no domain
_FILES: Final = frozenset(
    {
        "bmp", "css", "csv", "gif", "gz", "htm", "html", "ico", "jpeg", "jpg", "js", "json", "log", "md",
        "mp3", "mp4", "pdf", "png", "py", "svg", "tar", "tgz", "tif", "tiff", "ts", "txt", "webp", "xml",
        "yaml", "yml",
    }
)  # fmt: skip


def emails(text: str) -> Iterator[Found]:
    """The addresses of a text; logins of Git (``git@github.com``) are none."""
    if "@" in text:
        yield from _of(_PLAIN, text)
    if "%40" in text:
        yield from _of(_IN_URL, text)


def _of(pattern: re.Pattern[str], text: str) -> Iterator[Found]:
    for match in pattern.finditer(text):
        local, domain = match[1].lower(), match[2].lower()
        if local != "git" and domain.rpartition(".")[2] not in _FILES and local.strip(".%+-"):
            yield Found(match.start(), match.end(), KIND, f"{local}@{domain}")
