"""Why a record is there, in tags that a person reads in MLflow's table: the failure of the trace whose output
it has, where that trace ran, and when and how often the case was seen.

Texts are one line and bounded. They are redacted together with the record (:mod:`sinks.mlflow.case`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

import polars as pl

from rules.failures import MESSAGE_LENGTH, masked
from rules.units import SECOND_US, utc
from sinks.mlflow.records import RecordSource
from store import NETTED, Store, net_facts

FAILED_SPAN: Final = "tracesieve.failed_span"
ERROR: Final = "tracesieve.error"
PATTERN: Final = "tracesieve.pattern"
MESSAGE: Final = "tracesieve.message"
TRACES, FIRST_SEEN, LAST_SEEN = "tracesieve.traces", "tracesieve.first_seen", "tracesieve.last_seen"
# The label that is there first is the value.
_LABELS: Final = {
    "tracesieve.environment": ("tags.environment",),
    "tracesieve.release": (
        "tags.release",
        "tags.version",
        "metadata.mlflow.modelId",
        "metadata.mlflow.source.git.commit",
    ),
    "tracesieve.session": ("metadata.mlflow.trace.session",),
}
_MOST_CHARACTERS: Final = 500
_MOST_TRACES: Final = 5
_LAST_WORD = re.compile(r"[\s\d().+\-]*\S*\Z")
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")


def failures_of(store: Store, ends_us: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    """The failures of traces by id, given the end of each; without those that had none, or whose facts are
    gone, or are of a program that did not know it.

    Raises:
        StoreError: the store cannot be read.
    """
    if not ends_us:
        return {}
    where = pl.col("end_us").is_between(min(ends_us.values()), max(ends_us.values()))
    where &= pl.col("trace_id").is_in(list(ends_us))
    facts = net_facts(store.table("facts").read([*NETTED, "failure"], where))
    rows = facts.drop_nulls("failure").select("trace_id", "failure").iter_rows()
    return {trace_id: json.loads(failure) for trace_id, failure in rows}


def origin_of(failure: Mapping[str, Any] | None, labels: Mapping[str, str]) -> dict[str, str]:
    """The tags of one trace, each there, empty where nothing is known; not redacted."""
    found = failure or {}
    message = str(found.get("message") or "")
    pattern = masked_text(message) if message else ""
    tags = {
        FAILED_SPAN: _span(found),
        ERROR: str(found.get("error_type") or ""),
        PATTERN: pattern,
        MESSAGE: message,
    }
    for tag, names in _LABELS.items():
        tags[tag] = next((labels[name] for name in names if labels.get(name)), "")
    return {tag: one_line(text) for tag, text in tags.items()}


def seen(sources: Mapping[str, RecordSource]) -> dict[str, str]:
    """When the traces of a record ended, and how many there are, the last of them by id."""
    last = sorted(sources.values(), key=lambda one: (one.end_us, one.trace_id), reverse=True)
    ids = ", ".join(one_line(one.trace_id) for one in last[:_MOST_TRACES])
    more = ", …" if len(last) > _MOST_TRACES else ""
    return {
        TRACES: f"{len(last)}: {ids}{more}",
        FIRST_SEEN: _time(last[-1].end_us),
        LAST_SEEN: _time(last[0].end_us),
    }


def one_line(text: str) -> str:
    """The text without what moves a terminal or a page; one that is too long is cut before a word."""
    line = " ".join(_UNSEEN.sub(" ", text[: _MOST_CHARACTERS + 1]).split())
    if len(text) < MESSAGE_LENGTH and len(text) <= _MOST_CHARACTERS:
        return line
    # Half an address or number at the end would pass the door: it looks like none.
    return f"{_LAST_WORD.sub('', line)} …"


def masked_text(message: str) -> str:
    """The message without what differs from one failure to the next."""
    import pyarrow as pa

    return str(masked(pa.array([message], pa.string()))[0].as_py())


def _span(failure: Mapping[str, Any]) -> str:
    """``search_documents (TOOL)``, and whether the trace ended well all the same."""
    name, kind = failure.get("span_name"), failure.get("span_type")
    if not name:
        return ""
    return f"{name}{f' ({kind})' if kind else ''}{', handled' if failure.get('handled') else ''}"


def _time(end_us: int) -> str:
    return f"{utc(end_us // SECOND_US * SECOND_US):%Y-%m-%d %H:%M:%S} UTC"
