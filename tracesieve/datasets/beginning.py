"""The beginning of a value of any size and depth, as a text for a person; the whole is in the version."""

from __future__ import annotations

import json
from typing import Any

MOST_TEXT = 200  # characters
_ENCODER = json.JSONEncoder(ensure_ascii=False, sort_keys=True)


def beginning(value: Any, most: int = MOST_TEXT) -> str:
    """A value as JSON, cut to ``most`` characters with ``…``; no more of it is written than that.

    It is not made harmless for a terminal.
    """
    text = ""
    for part in _ENCODER.iterencode(value):
        text += part[: most + 1]
        if len(text) > most:
            return text[: most - 1] + "…"
    return text
