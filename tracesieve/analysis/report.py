"""Reports: what happened in a range of time, from the facts that stand; starts no Java.

``rules`` counts, for a trace rule, the traces that it matches; for an alert rule, the traces that are
evidence of its alerts: those with its id in ``tracesieve.rules``.  (That an alert rule counts a trace is no
match.) ``candidates`` counts the traces by the category that ``eval_candidate`` holds, a person's too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from rules.units import MINUTE_US
from store.content import TraceTable
from store.store import NETTED, Store, net_facts
from tracesieve.analysis.candidates import candidates
from tracesieve.analysis.error_patterns import error_patterns, failures_until, has_history
from tracesieve.analysis.freshness import freshness
from tracesieve.analysis.hot_spots import hot_spots
from tracesieve.analysis.matches import matches_in
from tracesieve.analysis.measures import MEASURED, measures, with_buckets
from tracesieve.analysis.report_groups import groups
from tracesieve.analysis.report_steps import STEP, by_time, steps_of
from tracesieve.analysis.samples import Samples
from tracesieve.analysis.selection import Selection
from tracesieve.analysis.slow_patterns import slow_patterns
from tracesieve.analysis.spikes import MEASURES, spikes
from tracesieve.datasets.sets import DatasetSets, default_sets
from tracesieve.json_output import iso

SAMPLES = 5
PATTERNS_WITH_SAMPLES = 20
_COLUMNS = (*NETTED, "experiment_id", "start_us", "end_us", *MEASURED, "span_sums", "usage_disagrees")

_OF_SPIKES = ("trace_id", STEP, "group_by", "group", "span_keys", *(one.column for one in MEASURES))


def report(
    store: Store,
    from_us: int,
    to_us: int,
    by: Sequence[str],
    now_us: int,
    content: TraceTable | None = None,
    sets: DatasetSets | None = None,
    *,
    only: Selection | None = None,
    server: str | None = None,
) -> dict[str, Any]:
    """The document of ``report --json``: traces that ended in [from, to), those dated in the future held
    back; with ``only``, those of them that a condition matches.

    ``content`` is where requests are kept, the store's ``traces`` if not given; ``sets`` the config's
    datasets; ``server`` the MLflow server whose pages of traces are linked.

    Raises:
        StoreError: the trace table cannot be read.
    """
    until = max(min(to_us, now_us // MINUTE_US * MINUTE_US + MINUTE_US), from_us)
    steps = steps_of(from_us, until)
    facts = with_buckets(_standing(store, from_us, until, only)).with_columns(steps.column())
    (whole,) = measures(facts, []).values()
    of_groups = groups(facts, by)
    document = {"from": iso(from_us), "to": iso(to_us), **whole, "groups": of_groups, **by_time(facts, steps)}
    matches = matches_in(store, facts.select("trace_id", "start_us", "hits"), from_us)
    document |= {"candidates": matches.candidates, "rules": matches.rules}
    document |= candidates(store, facts.select("trace_id"), matches, sets or default_sets())
    failures = failures_until(store, until)
    inside = failures.join(facts.select("trace_id", STEP), on="trace_id")
    history = has_history(store, from_us)
    document |= error_patterns(failures, inside, steps, whole["errors"], history=history)
    document |= slow_patterns(facts, whole["p95_ms"])
    document["hot_spots"] = hot_spots(facts, of_groups, whole)
    named = inside.select("trace_id", "merged", "text")
    document["spikes"] = spikes(facts.select(_OF_SPIKES).join(named, on="trace_id", how="left"), steps)
    table = content or TraceTable(store.table("traces").uri)
    _add_samples(document, facts, inside, table, server)
    differ = int(facts["usage_disagrees"].sum() or 0)
    document["freshness"] = {**freshness(store), "usage_disagrees": differ}
    return document


def _standing(store: Store, from_us: int, until: int, only: Selection | None) -> pl.DataFrame:
    touched = (pl.col("end_us") >= from_us) & (pl.col("end_us") < until)
    # A withdrawal copies the values it takes back, its end too, so that the rows of a range net by
    # themselves: what moved out of it has both its rows in it, what moved in only the new one.
    facts = net_facts(store.table("facts").read(list(_COLUMNS), touched))
    facts = facts.drop("batch_id", "weight", "content_hash", "arrived_us")
    return facts if only is None else only.of(facts)


def _add_samples(
    document: dict[str, Any],
    facts: pl.DataFrame,
    failures: pl.DataFrame,
    table: TraceTable,
    server: str | None,
) -> None:
    """Put samples into the document: of failed traces, of the patterns of failures, and of slow traces."""
    failed = facts.filter("error").sort("end_us", "trace_id", descending=True).head(SAMPLES)
    rows = [*document["error_patterns"][:PATTERNS_WITH_SAMPLES], *document["slow_patterns"]]
    wanted = [
        *failed["trace_id"],
        *(row["samples"][0] for row in rows),
        *(one for row in rows for one in row["samples"]),
    ]
    samples = Samples(facts, table, wanted, server)
    of_failed = failures.filter(pl.col("trace_id").is_in(failed["trace_id"].implode()))
    known = dict(of_failed.select("trace_id", pl.col("message").fill_null("")).iter_rows())
    document["error_samples"] = samples.with_errors(failed["trace_id"], known)
    for row in (*document["error_patterns"], *document["slow_patterns"]):
        row["sample_inputs"] = [samples.of(one) for one in row["samples"]]
