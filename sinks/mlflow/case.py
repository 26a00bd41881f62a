"""What a record holds of a trace: its request as inputs, its response as outputs, and where it comes from,
all through the door together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from sinks.errors import Refused
from sinks.mlflow.expectations import Attached
from sinks.mlflow.origin import failures_of, origin_of
from sinks.mlflow.provenance import parsed
from sinks.mlflow.redaction import Door, Passed
from store import Store


class Contents(Protocol):
    """Where requests and responses are kept."""

    def contents(self, starts_us: Mapping[str, int]) -> dict[str, tuple[str | None, str | None]]:
        """Request and response by trace id, given the start of each; those that are gone are left out."""
        ...

    def labels(self, starts_us: Mapping[str, int]) -> dict[str, dict[str, str]]:
        """Tags and metadata, the same way."""
        ...


@dataclass(frozen=True)
class Case:
    """What an evaluation reads of a trace; ``found``: what was redacted, for a person to read; ``origin``:
    tags that say where it comes from; ``attached``: expectations that redaction changes, by dataset.
    """

    inputs: dict[str, Any]
    outputs: Any
    found: str
    origin: Mapping[str, str]
    attached: Mapping[str, Passed] = field(default_factory=dict)


class Cases:
    """Makes cases of traces."""

    def __init__(self, contents: Contents, store: Store, door: Door, attached: Attached) -> None:
        self._contents, self._store, self._door, self._attached = contents, store, door, attached

    def of(self, traces: Iterable[tuple[str, int, int]]) -> dict[str, Case | Refused]:
        """The cases of traces, each given with its start and end, in µs; why there is none of one that is
        gone, or cannot be redacted.

        Raises:
            StoreError: the store or the trace table cannot be read.
        """
        times = {trace_id: (start_us, end_us) for trace_id, start_us, end_us in traces}
        starts_us = {trace_id: start_us for trace_id, (start_us, _) in times.items()}
        contents, labels = self._contents.contents(starts_us), self._contents.labels(starts_us)
        failures = failures_of(self._store, {trace_id: end_us for trace_id, (_, end_us) in times.items()})
        found: dict[str, Case | Refused] = {}
        for trace_id in times:
            if trace_id not in contents:
                why = f"the content of trace {trace_id} is no longer in the trace table"
                found[trace_id] = Refused(why)
                continue
            origin = origin_of(failures.get(trace_id), labels.get(trace_id, {}))
            try:
                found[trace_id] = case_of(self._door, contents[trace_id], origin, self._attached)
            except Refused as error:
                found[trace_id] = error
        return found


def case_of(
    door: Door,
    content: tuple[str | None, str | None],
    origin: Mapping[str, str],
    attached: Attached | None = None,
) -> Case:
    """The case of a request and a response.

    Raises:
        Refused: it cannot be redacted.
    """
    request, response = (parsed(text) for text in content)
    inputs = request if isinstance(request, dict) else {"input": request}
    together = (inputs, response, list(origin.values()))
    passed = door.passed(*together)
    inputs, outputs, texts = passed.values
    with_case = {} if attached is None else attached.with_case(*together)
    return Case(inputs, outputs, passed.found, dict(zip(origin, texts, strict=True)), with_case)
