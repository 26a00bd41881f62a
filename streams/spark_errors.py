"""What Spark's and Delta's own errors mean for a person, in one line.

Spark marks an error by its condition in brackets, as in ``[DELTA_SCHEMA_CHANGED] Detected schema change``.
Those whose own words are a page, or do not say what to do, have a line here.
"""

from __future__ import annotations

import re
from typing import Final

_CONDITION = re.compile(r"\[([A-Z][A-Z0-9_]*(?:\.[A-Z0-9_]+)*)\]")
_DISK = re.compile(r"No space left on device|Disk quota exceeded")  # as the operating system says it

_REREAD = "`tracesieve run --rebuild` reads the table again against the facts that are there"
_RETYPED = f"the source's schema changed within what one batch read; {_REREAD}"
_OTHER_TABLE = f"the source is another table than before, though at the same place; {_REREAD}"
_CLEANED = (
    "versions that a start of the stream asks for (those of the last batch too) were cleaned from the "
    f"source's log; {_REREAD}"
)
_VACUUMED = f"files of the source were vacuumed away before they were read; {_REREAD}"
LINES: Final = {
    "DELTA_SCHEMA_CHANGED": _RETYPED,
    "DELTA_SCHEMA_CHANGED_WITH_STARTING_OPTIONS": _RETYPED,
    "DELTA_SCHEMA_CHANGED_WITH_VERSION": _RETYPED,
    "DELTA_STREAMING_INCOMPATIBLE_SCHEMA_CHANGE": _RETYPED,
    "DELTA_STREAMING_INCOMPATIBLE_SCHEMA_CHANGE_USE_SCHEMA_LOG": _RETYPED,
    "DELTA_STREAMING_SCHEMA_LOG_INIT_FAILED_INCOMPATIBLE_METADATA": _RETYPED,
    "DELTA_STREAMING_SCHEMA_LOG_INCOMPATIBLE_DELTA_TABLE_ID": _OTHER_TABLE,
    "DIFFERENT_DELTA_TABLE_READ_BY_STREAMING_SOURCE": _OTHER_TABLE,
    "DELTA_MISSING_FILES_UNEXPECTED_VERSION": _CLEANED,
    "DELTA_LOG_FILE_NOT_FOUND_FOR_STREAMING_SOURCE": _CLEANED,
    "FAILED_READ_FILE.FILE_NOT_EXIST": _VACUUMED,
    "DELTA_FILE_NOT_FOUND_DETAILED": _VACUUMED,
}


_MOVED_ON = "DELTA_STREAMING_METADATA_EVOLUTION"


def schema_moved_on(text: str) -> bool:
    """Whether an error says that a stream has read all of one schema and is to be started with the next."""
    return _MOVED_ON in _CONDITION.findall(text)


def line_of(text: str) -> str:
    """The line for the first condition in an error's text that has one, else what the text begins with."""
    known = next((LINES[condition] for condition in _CONDITION.findall(text) if condition in LINES), None)
    if known is not None:
        return known
    disk = _DISK.search(text)
    return disk[0] if disk else (text.strip().splitlines() or ["no reason was given"])[0]
