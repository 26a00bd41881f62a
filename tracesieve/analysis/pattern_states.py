"""Whether an error pattern is open in an experiment, resolved, or back: decided from the failures that facts
hold and from what was decided before.

A pattern is *open* once it was in :data:`OPEN_TRACES` traces within :data:`WITHIN_US`. It is *resolved* when
it was in none for :data:`SILENT_US` while other traces of the experiment came: a weekend, or a source that
is down, resolves nothing. What then is open again is *back*, since the first trace after the silence.

A decision is a payload of :attr:`sinks.base.MessageKind.PATTERN`, so the last one a target is all that has to
be kept. It names all variants of the pattern that it was decided of; these stay with it, so that it keeps its
name while variants come, and while the facts of the first one expire.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import polars as pl

from rules.units import DAY_US, HOUR_US
from tracesieve.analysis.error_patterns import SAMPLES

OPEN_TRACES: Final = 3
WITHIN_US: Final = DAY_US
SILENT_US: Final = 3 * DAY_US
RENEWED_US: Final = HOUR_US  # counts of an open pattern are renewed at most that often
OPEN, RESOLVED = "open", "resolved"
_MOST_VARIANTS: Final = 500
Payload = dict[str, Any]
_NAMED = ("text", "error_type", "span_type", "span_name")


@dataclass(frozen=True)
class Decided:
    """The last decision on a target, and when it was made."""

    payload: Payload
    at_us: int


@dataclass
class _Seen:
    """What facts hold of a target."""

    experiment_id: str
    pattern: str  # the merged one
    traces: int = 0
    recent: int = 0
    handled: int = 0
    first_us: int = 0
    last_us: int = 0
    named: dict[str, Any] = field(default_factory=dict)
    samples: list[str] = field(default_factory=list)
    variants: list[str] = field(default_factory=list)

    def add(self, row: Mapping[str, Any]) -> None:
        """Take in one variant, given by the order in which they were last seen."""
        self.traces += row["traces"]
        self.recent += row["recent"]
        self.handled += row["handled"]
        self.first_us = min(self.first_us or row["first_us"], row["first_us"])
        self.last_us = max(self.last_us, row["last_us"])
        self.named = {name: row[name] for name in _NAMED}
        self.samples = [*row["samples"], *self.samples][:SAMPLES]
        self.variants.append(row["pattern"])


def decisions(
    failures: pl.DataFrame,
    decided: Mapping[str, Decided],
    came_since: Callable[[str, int], bool],
    now_us: int,
) -> dict[str, Payload]:
    """What is to be said anew, by target.

    ``failures`` are those of :func:`tracesieve.analysis.error_patterns.failures_until` now, with
    ``experiment_id``; ``decided`` the last decisions by target, without withdrawals; ``came_since(experiment
    id, time)``: whether a trace of that experiment ended then or later.
    """
    seen = _by_target(failures, decided, now_us)
    found: dict[str, Payload] = {}
    for target, one in sorted(seen.items()):
        payload = _of_seen(one, decided.get(target), failures, now_us)
        if payload is not None:
            found[target] = payload
    for target, last in sorted(decided.items()):
        if last.payload["status"] == OPEN and target not in found:
            known = seen[target].last_us if target in seen else 0
            silent_us = max(known, last.payload["last_us"])
            if silent_us + SILENT_US <= now_us and came_since(
                last.payload["experiment_id"], silent_us + SILENT_US
            ):
                found[target] = {**last.payload, "status": RESOLVED, "last_us": silent_us, "recent": 0}
    return found


def _by_target(failures: pl.DataFrame, decided: Mapping[str, Decided], now_us: int) -> dict[str, _Seen]:
    """What facts hold, by target: a variant that a decision names is of that one, others of a decision that
    names one they are merged with, else of a target of their own.
    """
    owner: dict[tuple[str, str], str] = {}
    for target, last in sorted(decided.items(), key=lambda one: (one[1].payload["first_us"], one[0])):
        for variant in last.payload["variants"]:
            owner.setdefault((last.payload["experiment_id"], variant), target)
    rows = _variants(failures, now_us)
    merged: dict[tuple[str, str], str] = {}
    for row in sorted(rows, key=lambda one: (one["first_us"], one["pattern"])):
        owned = owner.get((row["experiment_id"], row["pattern"]))
        if owned is not None:
            merged.setdefault((row["experiment_id"], row["merged"]), owned)
    seen: dict[str, _Seen] = {}
    for row in rows:
        key = (row["experiment_id"], row["merged"])
        own = f"{key[0]}/{key[1]}"
        target = owner.get((row["experiment_id"], row["pattern"])) or merged.get(key, own)
        seen.setdefault(target, _Seen(key[0], target.rpartition("/")[2])).add(row)
    return seen


def _variants(failures: pl.DataFrame, now_us: int) -> list[dict[str, Any]]:
    """A row for each experiment and own pattern, the last seen last."""
    ordered = failures.with_columns(pl.col("experiment_id").fill_null("")).sort("end_us", "trace_id")
    found = ordered.group_by("experiment_id", "merged", "pattern", maintain_order=True).agg(
        pl.len().alias("traces"),
        (pl.col("end_us") > now_us - WITHIN_US).sum().alias("recent"),
        pl.col("handled").sum(),
        pl.col("end_us").min().alias("first_us"),
        pl.col("end_us").max().alias("last_us"),
        *[pl.col(name).last() for name in _NAMED],
        pl.col("trace_id").tail(SAMPLES).reverse().alias("samples"),
    )
    return found.sort("last_us", "pattern").to_dicts()


def _of_seen(one: _Seen, last: Decided | None, failures: pl.DataFrame, now_us: int) -> Payload | None:
    """The decision on what was seen: to open, to open again, to renew the counts, or None."""
    if last is None or last.payload["status"] != OPEN:
        if one.recent < OPEN_TRACES:
            return None
        back = last is not None and last.payload["last_us"] < one.last_us
        silent_us = last.payload["last_us"] if last is not None and back else None
        since_us = None if silent_us is None else _first_after(one, failures, silent_us)
        return _payload(one, last, one.samples, since_us, silent_us)
    fresh = one.last_us > last.payload["last_us"]
    if not fresh or now_us < last.at_us + RENEWED_US:
        return None
    return _payload(one, last, last.payload["samples"], last.payload["back_us"], last.payload["silent_us"])


def _first_after(one: _Seen, failures: pl.DataFrame, silent_us: int) -> int:
    of_target = pl.col("experiment_id").fill_null("") == one.experiment_id
    later = failures.filter(
        of_target & pl.col("pattern").is_in(one.variants) & (pl.col("end_us") > silent_us)
    )
    first = later["end_us"].min()
    assert isinstance(first, int)  # the last one of them is
    return first


def _payload(
    one: _Seen, last: Decided | None, samples: list[str], back_us: int | None, silent_us: int | None
) -> Payload:
    before: Payload = last.payload if last is not None else {"first_us": one.first_us, "variants": []}
    return {
        "status": OPEN,
        "experiment_id": one.experiment_id,
        "pattern": one.pattern,
        "variants": list(dict.fromkeys([*before["variants"], *sorted(one.variants)]))[:_MOST_VARIANTS],
        **one.named,
        "traces": one.traces,
        "recent": one.recent,
        "handled": one.handled,
        "first_us": min(one.first_us, before["first_us"]),
        "last_us": one.last_us,
        "back_us": back_us,
        "silent_us": silent_us,
        "samples": samples,
    }


def by_experiment(rows: pl.DataFrame) -> dict[str, int]:
    """When the last trace of each experiment ended, of rows with ``experiment_id`` and ``end_us``."""
    last: dict[str, int] = defaultdict(int)
    for experiment_id, end_us in rows.group_by("experiment_id").agg(pl.col("end_us").max()).iter_rows():
        last[experiment_id or ""] = max(last[experiment_id or ""], end_us)
    return last
