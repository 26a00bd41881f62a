"""Every family that ``/metrics`` serves: its name, type, labels and meaning (docs/metrics.md lists the same,
tested).
"""

from __future__ import annotations

from typing import NamedTuple


class Family(NamedTuple):
    """``grouped``: the labels begin with those of ``group_by``; a counter's name is without its
    ``_total``.
    """

    name: str
    kind: str  # counter | gauge | histogram | summary (set as a gauge is: quantiles alone)
    text: str
    grouped: bool = False
    labels: tuple[str, ...] = ()


FAMILIES = (
    # Cumulative, since the process started.
    Family("tracesieve_traces", "counter", "Finished traces.", True, ("state",)),
    Family(
        "tracesieve_trace_duration_seconds", "histogram", "Duration of finished traces that have one.", True
    ),
    Family(
        "tracesieve_tokens",
        "counter",
        "Tokens of traces that say how many; those of type cache_read and cache_write are part of the input.",
        True,
        ("type",),
    ),
    Family("tracesieve_cost_usd", "counter", "Cost in US dollars of traces that say it.", True),
    Family(
        "tracesieve_rule_matches", "counter", "Traces that a trace rule matched.", False, ("rule", "category")
    ),
    Family(
        "tracesieve_late_traces",
        "counter",
        "Traces that ended while the run watched and came after their minute's verdicts.",
    ),
    Family("tracesieve_duplicate_traces", "counter", "Traces that came again with the same content."),
    Family("tracesieve_amended_traces", "counter", "Traces that came again with another content."),
    Family("tracesieve_backfilled_traces", "counter", "Traces that had ended when the run began."),
    Family(
        "tracesieve_quarantined", "counter", "Rows that could not be read or understood.", False, ("reason",)
    ),
    Family(
        "tracesieve_deliveries", "counter", "Deliveries by what became of them.", False, ("sink", "outcome")
    ),
    # The last closed window: the last 5 whole minutes.
    Family(
        "tracesieve_window_error_ratio", "gauge", "Share of failed traces in the last 5 closed minutes.", True
    ),
    # A summary for its label `quantile`, which promtool allows to no other type.
    Family(
        "tracesieve_window_duration_seconds",
        "summary",
        "Duration quantiles of the last 5 closed minutes.",
        True,
        ("quantile",),
    ),
    Family("tracesieve_window_end_timestamp_seconds", "gauge", "When those minutes ended."),
    # The present state.
    Family(
        "tracesieve_alerts",
        "gauge",
        "Groups that a window rule fires for.",
        False,
        ("rule", "severity", "state"),
    ),
    Family("tracesieve_outbox_pending", "gauge", "Deliveries that wait.", False, ("sink",)),
    Family(
        "tracesieve_final_through_timestamp_seconds",
        "gauge",
        "Up to when everything that ended has been counted.",
    ),
    Family(
        "tracesieve_source_missing",
        "gauge",
        "1 for each part of the source (an experiment) that the config names and that cannot be read.",
        False,
        ("part",),
    ),
    Family("tracesieve_in_progress_traces", "gauge", "Traces that have begun and not ended."),
    Family("tracesieve_rules_loaded", "gauge", "Rules in force."),
    Family(
        "tracesieve_rules_reload_success",
        "gauge",
        "1 if the last load of the rules worked, 0 if the last good ones stay.",
    ),
    Family(
        "tracesieve_label_overflow", "gauge", "Values of a label that are beyond its cap.", False, ("label",)
    ),
)
