"""The type of a key that holds a duration, in rule files and in the config."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BeforeValidator, Field, PlainSerializer

from rules.units import parse_duration_us, seconds_text

DURATION_PATTERN: Final = r"^[0-9]+(\.[0-9]+)?(ms|s|m|h|d)$"  # as the schema for editors asks for it

_PARSED = BeforeValidator(parse_duration_us)
DurationUs = Annotated[
    int,
    _PARSED,
    Field(
        ge=0,
        json_schema_extra={"type": "string", "pattern": DURATION_PATTERN},
    ),
    PlainSerializer(seconds_text, return_type=str, when_used="json"),
]
"""A key that holds a duration: any text of the grammar in a file, whole microseconds in the program.

A default is given in microseconds; the model must not validate its defaults, since a plain number is seconds.
"""


def is_duration(metadata: list[object]) -> bool:
    """Whether a pydantic field with this ``metadata`` is a :data:`DurationUs`."""
    return any(one is _PARSED for one in metadata)
