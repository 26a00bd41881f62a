"""At every scrape the present state: what the process has counted since its start, as Prometheus and OpenMetrics families.

One custom collector in a registry of its own hands out what :class:`MetricsState` holds; ``swap`` replaces all of it at
once, so that no scrape sees half a batch.  Cumulative families count from the start of the process (a normal counter
reset) and are moved by new traces alone, amendments by ``amended_total``.  A label holds only values of ``group_by``
keys, rule ids and our own words; past its cap a label's value becomes ``__overflow__``, that label only.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from rules.groups import label_names

BUCKETS_S = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 204.8, 409.6)
OVERFLOW = "__overflow__"
_TOTALS = ("late", "duplicates", "amended")
Key = tuple[str, ...]


class MetricsState:
    """What ``/metrics`` says; every method may be called from any thread."""

    def __init__(self, group_by: Sequence[str], max_values: int = 200) -> None:
        self.labels = label_names(group_by)
        self._max = max_values
        self._lock = threading.Lock()
        self._seen: list[set[str]] = [set() for _ in self.labels]
        self._refused: list[set[str]] = [set() for _ in self.labels]
        self._traces: dict[Key, int] = defaultdict(int)
        self._buckets: dict[Key, list[int]] = {}
        self._exemplars: dict[Key, dict[int, tuple[str, float, float]]] = defaultdict(dict)
        self._seconds: dict[Key, float] = defaultdict(float)
        self._tokens: dict[Key, int] = defaultdict(int)
        self._cost: dict[Key, float] = defaultdict(float)
        self._matches: dict[Key, int] = defaultdict(int)
        self._deliveries: dict[Key, int] = defaultdict(int)
        self._totals: dict[str, int] = dict.fromkeys(_TOTALS, 0)
        self._quarantined: dict[str, int] = defaultdict(int)
        self._gauges: dict[str, tuple[str, list[str], dict[Key, float]]] = {}

    def observe_fact(self, fact: dict[str, Any], categories: dict[str, str]) -> None:
        """Count one new trace (a fact of weight +1 that amends nothing); ``categories`` by rule id."""
        with self._lock:
            group = self._capped(fact["group"])
            self._traces[(*group, fact["state"])] += 1
            if fact["duration_us"] is not None:
                self._observe_duration(group, fact["duration_us"] / 1e6, fact["trace_id"], fact["end_us"] / 1e6)
            for kind in ("input", "output"):
                self._tokens[(*group, kind)] += fact[f"tokens_{kind}"] or 0
            self._cost[group] += (fact["cost_nusd"] or 0) / 1e9
            for hit in fact["hits"]:
                if hit["rule"] in categories:
                    self._matches[(hit["rule"], categories[hit["rule"]])] += 1

    def add_totals(self, batch: dict[str, Any]) -> None:
        """Add the counters of a finished batch."""
        with self._lock:
            for name in _TOTALS:
                self._totals[name] += batch.get(name) or 0
            self._quarantined["unreadable"] += batch.get("quarantined") or 0

    def delivered(self, sink: str, outcome: str, count: int) -> None:
        """Count deliveries."""
        with self._lock:
            self._deliveries[(sink, outcome)] += count

    def set_gauge(self, name: str, help_text: str, labels: Sequence[str], values: dict[Key, float]) -> None:
        """Replace a gauge and all its series."""
        with self._lock:
            self._gauges[name] = (help_text, list(labels), dict(values))

    def capped(self, values: Sequence[str]) -> Key:
        """A group's values with those beyond a label's cap replaced."""
        with self._lock:
            return self._capped(values)

    def registry(self) -> CollectorRegistry:
        """A registry with this state alone in it."""
        state = self

        class _Collector(Collector):
            def collect(self) -> Iterator[Any]:
                with state._lock:
                    return iter(list(state._families()))

            def describe(self) -> list[Any]:
                return []

        registry = CollectorRegistry()
        registry.register(_Collector())
        return registry

    def _capped(self, values: Sequence[str]) -> Key:
        result = []
        for index, value in enumerate(values[: len(self.labels)]):
            seen = self._seen[index]
            if value not in seen and len(seen) >= self._max:
                self._refused[index].add(value)
                value = OVERFLOW
            else:
                seen.add(value)
            result.append(value)
        return tuple(result)

    def _observe_duration(self, group: Key, seconds: float, trace_id: str, at_s: float) -> None:
        counts = self._buckets.setdefault(group, [0] * (len(BUCKETS_S) + 1))
        index = next((i for i, bound in enumerate(BUCKETS_S) if seconds <= bound), len(BUCKETS_S))
        counts[index] += 1
        self._seconds[group] += seconds
        if len(trace_id) <= 110:  # OpenMetrics allows 128 characters for an exemplar's labels together
            self._exemplars[group][index] = (trace_id, seconds, at_s)

    def _families(self) -> Iterator[Any]:
        yield _counter("tracesieve_traces", "Finished traces.", [*self.labels, "state"], self._traces)
        yield self._durations()
        yield _counter("tracesieve_tokens", "Tokens, where known.", [*self.labels, "type"], self._tokens)
        yield _counter("tracesieve_cost_usd", "Cost in US dollars, where known.", self.labels, self._cost)
        yield _counter("tracesieve_rule_matches", "Traces that a rule matched.", ["rule", "category"], self._matches)
        yield _counter("tracesieve_deliveries", "Deliveries by outcome.", ["sink", "outcome"], self._deliveries)
        names = {"late": "late_traces", "duplicates": "duplicate_traces", "amended": "amended_traces"}
        for key, name in names.items():
            yield _counter(f"tracesieve_{name}", f"Traces: {key}.", [], {(): self._totals[key]})
        yield _counter("tracesieve_quarantined", "Rows that could not be read.", ["reason"],
                       {(reason,): n for reason, n in self._quarantined.items()})  # fmt: skip
        overflow: dict[Key, float] = {(label,): float(len(self._refused[i])) for i, label in enumerate(self.labels)}
        yield _gauge("tracesieve_label_overflow", "Values of a label beyond its cap.", ["label"], overflow)
        for name, (help_text, labels, values) in self._gauges.items():
            yield _gauge(name, help_text, labels, values)

    def _durations(self) -> HistogramMetricFamily:
        family = HistogramMetricFamily("tracesieve_trace_duration_seconds", "Duration of finished traces.", labels=self.labels)
        for group, counts in self._buckets.items():
            total = 0
            buckets: list[Any] = []
            for index, count in enumerate(counts):
                total += count
                bound = str(BUCKETS_S[index]) if index < len(BUCKETS_S) else "+Inf"
                found = self._exemplars[group].get(index)
                exemplar = Exemplar({"trace_id": found[0]}, found[1], found[2]) if found else None
                buckets.append((bound, total, exemplar))
            family.add_metric(list(group), buckets=buckets, sum_value=self._seconds[group])
        return family


def _counter(name: str, text: str, labels: Sequence[str], values: dict[Key, Any]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _gauge(name: str, text: str, labels: Sequence[str], values: dict[Key, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family
