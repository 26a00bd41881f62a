"""What a record holds of a trace: its request as inputs, its response as outputs, through the door."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from sinks.mlflow.provenance import parsed
from sinks.mlflow.redaction import Door


class Contents(Protocol):
    """Where requests and responses are kept."""

    def contents(self, starts_us: Mapping[str, int]) -> dict[str, tuple[str | None, str | None]]:
        """Request and response by trace id, given the start of each; those that are gone are left out."""
        ...


@dataclass(frozen=True)
class Case:
    """What an evaluation reads of a trace; ``found``: what was redacted, for a person to read."""

    inputs: dict[str, Any]
    outputs: Any
    found: str


def case_of(door: Door, content: tuple[str | None, str | None]) -> Case:
    """The case of a request and a response.

    Raises:
        Refused: it cannot be redacted.
    """
    request, response = (parsed(text) for text in content)
    passed = door.passed(request if isinstance(request, dict) else {"input": request}, response)
    inputs, outputs = passed.values
    return Case(inputs, outputs, passed.found)
