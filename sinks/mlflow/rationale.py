"""Why a rule matched a trace, in a sentence made of its fact: where its failure began, what took its time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import polars as pl

from rules.breakdown import longest, restored, short_name, totals
from rules.units import SECOND_US, duration_text
from sinks.mlflow.origin import ERROR, FAILED_SPAN, PATTERN, one_line, origin_of
from store import NETTED, Store, net_facts

MORE_THAN = 0.5  # of the critical path: below that no span is the one that took the time
_COLUMNS = ("duration_us", "span_sums", "failure")


def facts_of(store: Store, trace_ids: list[str]) -> dict[str, dict[str, Any]]:
    """The standing facts of traces by id; those that are gone are left out.

    Raises:
        StoreError: the store cannot be read.
    """
    where = pl.col("trace_id").is_in(trace_ids)
    facts = net_facts(store.table("facts").read([*NETTED, *_COLUMNS], where))
    return {row["trace_id"]: row for row in facts.iter_rows(named=True)}


def rationale(fact: Mapping[str, Any] | None) -> str:
    """The sentence, at most two parts; empty where the fact says nothing. It quotes no text of the trace but
    names of spans, the type of an error and the pattern of its message.
    """
    if fact is None:
        return ""
    return "; ".join(filter(None, (_failure(fact), _time(fact))))


def _failure(fact: Mapping[str, Any]) -> str:
    if not fact["failure"]:
        return ""
    failure = json.loads(fact["failure"])
    tags = origin_of(failure, {})
    if not tags[FAILED_SPAN]:
        return "it failed, and none of its spans did"
    named = tags[PATTERN].startswith(tags[ERROR])  # many messages begin with the type of their error
    what = tags[PATTERN] if named else ": ".join(filter(None, (tags[ERROR], tags[PATTERN])))
    return f"{tags[FAILED_SPAN]} failed first{': ' if what else ''}{what}"


def _time(fact: Mapping[str, Any]) -> str:
    """``search_documents took 65% of 12 s``; empty where no span took more than half."""
    if fact["span_sums"] is None or not fact["duration_us"]:
        return ""
    import pyarrow as pa

    keys, sums = pa.array([fact["span_keys"]], pa.string()), pa.array([fact["span_sums"]], pa.binary())
    found = longest(totals(restored(keys, sums)))
    if found is None or found[1] <= MORE_THAN:
        return ""
    name = one_line(short_name(found[0][1]))
    return f"{name} took {found[1]:.0%} of {_seconds(fact['duration_us'])}"


def _seconds(duration_us: int) -> str:
    if duration_us < 999_500_000:
        return f"{duration_us / SECOND_US:.3g} s"
    return duration_text(duration_us // SECOND_US * SECOND_US)
