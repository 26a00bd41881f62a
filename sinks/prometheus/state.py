"""At every scrape the present state: what the process has counted since its start, as Prometheus and
OpenMetrics families.

One custom collector in a registry of its own hands out what :class:`MetricsState` holds, every family from
the first scrape on, and no scrape sees half a change.  Cumulative families count from the start of the
process (a normal counter reset) and are moved by new traces alone, amendments by ``amended_total``.  A label
holds only values of ``group_by`` keys, rule ids and our own words, shortened and in valid UTF-8; past its cap
a label's value becomes ``__overflow__``, that label only.
"""

from __future__ import annotations

import re
import threading
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from rules.groups import label_names
from sinks.http.buckets import BUCKETS_S
from sinks.prometheus.families import FAMILIES, Family

OVERFLOW = "__overflow__"
MAX_CHARACTERS = 128  # of a label's value
_TOTALS = {
    "late": "tracesieve_late_traces",
    "duplicates": "tracesieve_duplicate_traces",
    "amended": "tracesieve_amended_traces",
    "backlog": "tracesieve_backfilled_traces",
}
# OpenMetrics allows 128 characters for an exemplar's labels together; some readers trip over quotes and
# braces in them.
_TRACE_ID = re.compile(r"[A-Za-z0-9_.:/-]{1,110}")
_GAUGES = {family.name for family in FAMILIES if family.kind in ("gauge", "summary")}
_UNLABELLED_COUNTERS = {
    family.name for family in FAMILIES if family.kind == "counter" and not (family.grouped or family.labels)
}
LabelValues = tuple[str, ...]


class MetricsState:
    """What ``/metrics`` says; every method may be called from any thread."""

    def __init__(
        self, group_by: Sequence[str], max_values: int = 200, buckets_s: Sequence[float] = BUCKETS_S
    ) -> None:
        self._bounds_s = tuple(buckets_s)
        self.labels = label_names(group_by)
        self._max = max_values
        self._lock = threading.Lock()
        self._seen: list[set[str]] = [set() for _ in self.labels]
        self._refused: list[set[str]] = [set() for _ in self.labels]
        self._values: dict[str, dict[LabelValues, float]] = {
            family.name: defaultdict(float) for family in FAMILIES
        }
        for name in _UNLABELLED_COUNTERS:
            self._values[name][()] = 0.0
        self._values["tracesieve_rules_reload_success"][()] = 1.0
        self._buckets: dict[LabelValues, list[int]] = {}
        self._exemplars: dict[LabelValues, dict[int, tuple[str, float, float]]] = defaultdict(dict)
        self._seconds: dict[LabelValues, float] = defaultdict(float)

    def expect(self, groups: Iterable[Sequence[str]], categories: Mapping[str, str]) -> None:
        """Serve the counters of these groups and rules from zero on, if they are not served yet.

        Prometheus sees no increase in the first value of a series, so that what comes first would be missed.
        """
        with self._lock:
            for values in groups:
                group = self._capped(values)
                for state in ("OK", "ERROR"):
                    self._values["tracesieve_traces"].setdefault((*group, state), 0.0)
                for kind in ("input", "output"):
                    self._values["tracesieve_tokens"].setdefault((*group, kind), 0.0)
                self._values["tracesieve_cost_usd"].setdefault(group, 0.0)
                self._buckets.setdefault(group, [0] * (len(self._bounds_s) + 1))
            for one in categories.items():
                self._values["tracesieve_rule_matches"].setdefault(one, 0.0)

    def observe_fact(self, fact: dict[str, Any], categories: dict[str, str]) -> None:
        """Count one new trace that is no backlog (a fact of weight +1 that amends nothing); ``categories``
        by rule id.
        """
        with self._lock:
            group = self._capped(fact["group"])
            self._values["tracesieve_traces"][*group, fact["state"]] += 1
            if fact["duration_us"] is not None:
                self._observe_duration(
                    group, fact["duration_us"] / 1e6, fact["trace_id"], fact["end_us"] / 1e6
                )
            for kind in ("input", "output"):
                self._values["tracesieve_tokens"][*group, kind] += fact[f"tokens_{kind}"] or 0
            for kind in ("cache_read", "cache_write"):  # a series only where a provider says it
                if (tokens := fact.get(f"tokens_{kind}")) is not None:
                    self._values["tracesieve_tokens"][*group, kind] += tokens
            self._values["tracesieve_cost_usd"][group] += (fact["cost_nusd"] or 0) / 1e9
            for hit in fact["hits"]:
                if hit["rule"] in categories:
                    self._values["tracesieve_rule_matches"][hit["rule"], categories[hit["rule"]]] += 1

    def add_totals(self, batch: dict[str, Any]) -> None:
        """Add the counters of a finished batch."""
        with self._lock:
            for name, family in _TOTALS.items():
                self._values[family][()] += batch.get(name) or 0

    def quarantined(self, reason: str, count: int) -> None:
        """Count rows that were not understood; ``reason`` is one of our own words."""
        with self._lock:
            self._values["tracesieve_quarantined"][(reason,)] += count

    def delivered(self, sink: str, outcome: str, count: int) -> None:
        """Count deliveries."""
        with self._lock:
            self._values["tracesieve_deliveries"][sink, outcome] += count

    def set_gauge(self, name: str, values: dict[LabelValues, float]) -> None:
        """Replace all series of a gauge; the keys are its labels' values, those of ``group_by`` first.

        Raises:
            KeyError: there is no gauge of that name in ``sinks.prometheus.families``.
        """
        self.set_gauges({name: values})

    def set_gauges(self, gauges: Mapping[str, dict[LabelValues, float]]) -> None:
        """Replace all series of several gauges; no scrape sees some of them new and others old.

        Raises:
            KeyError: there is no gauge of one of these names in ``sinks.prometheus.families``.
        """
        if unknown := gauges.keys() - _GAUGES:
            raise KeyError(*unknown)
        with self._lock:
            self._values |= {name: dict(values) for name, values in gauges.items()}

    def values(self) -> dict[str, dict[LabelValues, float]]:
        """What all counters and gauges stand at now, by family and labels."""
        with self._lock:
            return {name: dict(values) for name, values in self._values.items()}

    def capped(self, values: Sequence[str]) -> LabelValues:
        """A group's values as labels: those beyond a label's cap replaced."""
        with self._lock:
            return self._capped(values)

    def registry(self) -> CollectorRegistry:
        """A registry with this state alone in it."""
        state = self

        class _Collector(Collector):
            def collect(self) -> Iterator[Any]:
                with state._lock:
                    return iter([state._family(family) for family in FAMILIES])

            def describe(self) -> list[Any]:
                return []

        registry = CollectorRegistry()
        registry.register(_Collector())
        return registry

    def _capped(self, values: Sequence[str]) -> LabelValues:
        result = []
        for index, raw in enumerate([*values, *[""] * len(self.labels)][: len(self.labels)]):
            value = printable(raw)
            seen = self._seen[index]
            if value not in seen and len(seen) >= self._max:
                if (
                    len(self._refused[index]) < 100 * self._max
                ):  # past that it is many, and memory is for traces
                    self._refused[index].add(value)
                value = OVERFLOW
            else:
                seen.add(value)
            result.append(value)
        return tuple(result)

    def _observe_duration(self, group: LabelValues, seconds: float, trace_id: str, at_s: float) -> None:
        counts = self._buckets.setdefault(group, [0] * (len(self._bounds_s) + 1))
        index = bisect_left(self._bounds_s, seconds)
        counts[index] += 1
        self._seconds[group] += seconds
        if _TRACE_ID.fullmatch(trace_id):
            self._exemplars[group][index] = (trace_id, seconds, at_s)

    def _family(self, family: Family) -> Any:
        labels = [*(self.labels if family.grouped else ()), *family.labels]
        if family.kind == "histogram":
            return self._durations(family, labels)
        values = self._values[family.name]
        if family.name == "tracesieve_label_overflow":
            values = {(label,): float(len(self._refused[i])) for i, label in enumerate(self.labels)}
        if family.kind == "summary":
            summary = Metric(family.name, family.text, "summary")
            for key, value in values.items():
                summary.add_sample(family.name, dict(zip(labels, key, strict=True)), value)
            return summary
        kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
        made = kind(family.name, family.text, labels=labels)
        for key, value in values.items():
            made.add_metric(key, value)
        return made

    def _durations(self, family: Family, labels: Sequence[str]) -> HistogramMetricFamily:
        made = HistogramMetricFamily(family.name, family.text, labels=labels)
        for group, counts in self._buckets.items():
            total = 0
            buckets: list[Any] = []
            for index, count in enumerate(counts):
                total += count
                bound = str(float(self._bounds_s[index])) if index < len(self._bounds_s) else "+Inf"
                found = self._exemplars[group].get(index)
                exemplar = Exemplar({"trace_id": found[0]}, found[1], found[2]) if found else None
                buckets.append((bound, total, exemplar))
            made.add_metric(list(group), buckets=buckets, sum_value=self._seconds[group])
        return made


def printable(value: str) -> str:
    """A label's value that every reader takes: valid UTF-8 and not long."""
    return value[:MAX_CHARACTERS].encode("utf-8", "replace").decode("utf-8")
