"""The failure of a trace: the span in which it began, what that span said, and the pattern of it.

A span failed when its status is ERROR or it recorded an exception. A failed span *passes on* a failure when
a child of it failed and it has no message of its own: none at all, one that contains the child's, or the same
type of exception. The others are where failures begin. Among them the failure of the trace is the one that
reached the root, every span above it having failed; if none did, any; of several the first to end. So a tool
that was tried again and then worked is not taken for the cause of what failed later, and still counts in a
trace that ended well (``handled``).

What is read of a trace is bounded: names 128 characters, messages :data:`MESSAGE_LENGTH`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rules.dialect.fields import SPAN_TYPE
from rules.failures.masking import MESSAGE_LENGTH, fingerprint, masked
from rules.matcher import values as v
from rules.matcher.batch import Batch

NAME_LENGTH: Final = 128
EXCEPTION_TYPE: Final = "spans.events[exception.type]"
EXCEPTION_MESSAGE: Final = "spans.events[exception.message]"
failure_columns: Final[tuple[str, ...]] = (
    "state",
    "spans.span_id",
    "spans.parent_id",
    "spans.name",
    "spans.status_code",
    "spans.status_message",
    "spans.end_time",
    SPAN_TYPE,
    EXCEPTION_TYPE,
    EXCEPTION_MESSAGE,
)
# What a failure is stored as: a JSON object with these keys. A column of structs would do, but statistics of
# a Delta table stop after 32 columns, in the middle of a struct if need be, and Polars refuses such tables.
FAILURE_KEYS: Final = ("span_type", "span_name", "error_type", "message", "pattern", "handled")
_LEADING_TYPE = re.compile(
    r"([A-Za-z_][\w.]{0,120}(?:Error|Exception|Timeout|Interrupt|Exit|Failure))\s*(?:[:(]|$)"
)


@dataclass(frozen=True)
class FailedSpan:
    """A span that failed."""

    span_id: str
    parent_id: str
    name: str
    kind: str
    end_us: float
    error_type: str
    message: str

    def passes_on(self, child: FailedSpan) -> bool:
        """Whether its failure is that of the child."""
        return (
            not self.message
            or bool(child.message and child.message in self.message)
            or bool(self.error_type and self.error_type == child.error_type)
        )


def failures(batch: Batch) -> pa.Array:
    """One JSON object of :data:`FAILURE_KEYS` a trace, null where neither the trace nor a span of it failed.

    ``pattern`` is the fingerprint of the masked message and the error's type; ``handled``: the trace ended
    well all the same. A trace that failed without a failed span has a failure without a span or message.
    """
    ended_badly = v.remap(batch.texts("state"), v.span_status)
    bad = ended_badly.codes == ended_badly.code("ERROR")
    rows: list[dict[str, Any] | None] = [None] * batch.rows
    for row in np.flatnonzero(bad).tolist():
        rows[row] = _without_span()
    for row, spans in _failed_spans(batch):
        rows[row] = _of_span(_origin(batch, row, spans), handled=not bad[row])
    _mark_patterns(rows)
    return pa.array(
        [row and json.dumps({key: row[key] for key in FAILURE_KEYS}) for row in rows], pa.string()
    )


def _without_span() -> dict[str, Any]:
    return {"span_type": None, "span_name": None, "error_type": "", "message": "", "handled": False}


def _of_span(span: FailedSpan, *, handled: bool) -> dict[str, Any]:
    return {
        "span_type": v.json_text(span.kind),
        "span_name": span.name,
        "error_type": span.error_type,
        "message": span.message,
        "handled": handled,
    }


def _mark_patterns(rows: list[dict[str, Any] | None]) -> None:
    failed = [row for row in rows if row is not None]
    distinct = list({row["message"] for row in failed})
    patterns = dict(zip(distinct, masked(pa.array(distinct, pa.string())).to_pylist(), strict=True))
    for row in failed:
        row["pattern"] = fingerprint(row["error_type"], patterns[row["message"]])


def _failed_spans(batch: Batch) -> Iterator[tuple[int, list[FailedSpan]]]:
    """The rows that have failed spans, each with them."""
    status = v.remap(batch.texts("spans.status_code"), v.span_status)
    failed = status.codes == status.code("ERROR")
    for name in (EXCEPTION_TYPE, EXCEPTION_MESSAGE):
        failed |= batch.flat(name).is_valid().to_numpy(zero_copy_only=False)
    items = np.flatnonzero(failed)
    spans = _taken(batch, items)
    owners = batch.parent("spans")[items]
    for row in np.unique(owners):
        first, end = np.searchsorted(owners, [row, row + 1])
        yield int(row), spans[first:end]


def _taken(batch: Batch, items: npt.NDArray[np.int64]) -> list[FailedSpan]:
    def texts(name: str, most: int) -> list[str]:
        found = pc.take(batch.flat(name), pa.array(items)).cast(pa.string())
        return [one or "" for one in pc.utf8_slice_codeunits(found, 0, most).to_pylist()]

    ends = v.epoch_us(batch.flat("spans.end_time"))[items]
    exceptions, statuses = (
        texts(name, MESSAGE_LENGTH) for name in (EXCEPTION_MESSAGE, "spans.status_message")
    )
    messages = [exception or status for exception, status in zip(exceptions, statuses, strict=True)]
    kinds = [
        given or _leading_type(message)
        for given, message in zip(texts(EXCEPTION_TYPE, NAME_LENGTH), messages, strict=True)
    ]
    named = ("spans.span_id", "spans.parent_id", "spans.name", SPAN_TYPE)
    end_us = np.where(np.isnan(ends), np.inf, ends).tolist()
    columns = (*(texts(name, NAME_LENGTH) for name in named), end_us, kinds, messages)
    return [FailedSpan(*one) for one in zip(*columns, strict=True)]


def _leading_type(message: str) -> str:
    found = _LEADING_TYPE.match(message)
    return found[1][:NAME_LENGTH] if found else ""


def _origin(batch: Batch, row: int, spans: list[FailedSpan]) -> FailedSpan:
    """Where the failure of a trace began."""
    if len(spans) == 1:
        return spans[0]
    failed = {span.span_id: span for span in spans}
    above = [(failed[span.parent_id], span) for span in spans if span.parent_id in failed]
    passing = {parent.span_id for parent, child in above if parent.passes_on(child)}
    begun = [span for span in spans if span.span_id not in passing] or spans
    if len(begun) == 1:
        return begun[0]
    parents = _parents(batch, row)
    return min(begun, key=lambda span: (not _reached_root(span, failed, parents), span.end_us, span.span_id))


def _parents(batch: Batch, row: int) -> dict[str, str]:
    """The parent of each span of a trace."""
    first, end = np.searchsorted(batch.parent("spans"), [row, row + 1])
    names = ("spans.span_id", "spans.parent_id")
    ids, parents = (batch.flat(name).slice(first, end - first).to_pylist() for name in names)
    return {one or "": parent or "" for one, parent in zip(ids, parents, strict=True)}


def _reached_root(span: FailedSpan, failed: dict[str, FailedSpan], parents: dict[str, str]) -> bool:
    """Whether every span above it failed; spans that are their own ancestors have no root."""
    seen = {span.span_id}
    above = parents.get(span.span_id, "")
    while above in parents and above not in seen:
        if above not in failed:
            return False
        seen.add(above)
        above = parents[above]
    return above not in seen
