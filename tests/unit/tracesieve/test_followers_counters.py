"""Every sample of ``/metrics`` that a new trace, an amendment and a side output move."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import generate_latest
from support.made_facts import MINUTE, T0, batch, fact

from rules.rule_set import build_rule_set, parse_rule
from sinks.prometheus.state import MetricsState
from store import open_store
from store.outbox import Outbox
from tracesieve.run.metrics import MetricsFollower

NOW = T0 + 3 * MINUTE + 5
RULES = build_rule_set(
    [
        parse_rule(
            {"id": "errors", "window": {"size": "2m", "by": ["experiment"]}, "fire": "error_rate > 0.1"}
        ),
        parse_rule({"id": "bad", "when": "status = 'ERROR'", "tag": "error_case"}),
    ]
)
HIT = [{"rule": "bad", "hash": RULES.trace_rules[0].hash}]
OK, FAILED = (f'tracesieve_traces_total{{experiment="support",state="{state}"}}' for state in ("OK", "ERROR"))


class Served:
    """What a process serves that has counted a first batch: a failed trace, and one of the future."""

    def __init__(self, path: Path) -> None:
        self.store = open_store(str(path))
        batch(self.store, 0, [fact("before", 0)], RULES)
        self.state = MetricsState(["experiment"])
        self.follower = MetricsFollower(self.store, self.state, "s", Outbox(self.store), ["experiment"])
        self.step()
        self.at_the_start = self.sample("tracesieve_traces_total")
        rows = [fact("a", 1, error=True, hits=HIT), fact("future", 30), fact("seen", 1, weight=0)]
        batch(self.store, 1, rows, RULES, amended=0, late=1)
        own = {"stream_id": "s", "batch_id": 1}
        self.store.table("quarantine").append([{**own, "reason": "no_trace_id"}])
        self.store.table("in_progress").append([{**own, "trace_id": "w", "start_us": T0}])

    def step(self, now_us: int = NOW, final_us: int | None = None, *alerts: dict[str, str]) -> None:
        self.follower.step(RULES, now_us, final_us, alerts)

    def amend(self) -> None:
        """Amend both, and end the trace that was in progress."""
        rows = [
            fact("a", 1, error=True, hits=HIT, weight=-1),
            fact("a", 1, content_hash=2),
            fact("future", 30, weight=-1),
            fact("future", 31, content_hash=2),
            fact("w", 2),
        ]
        batch(self.store, 2, rows, RULES, amended=2)

    def sample(self, name: str) -> float | None:
        text = generate_latest(self.state.registry()).decode()
        found = [line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(name)]
        return float(found[0]) if found else None


@pytest.fixture
def served(tmp_path: Path) -> Served:
    return Served(tmp_path)


def test_sem_24_11_counters_begin_with_the_process_and_move_by_new_traces_alone(served: Served) -> None:
    assert served.at_the_start in (None, 0)
    served.step(NOW, T0, {"rule": "errors", "severity": "warning"})
    assert served.sample(FAILED) == 1
    assert served.sample(OK) == 0
    assert served.sample('tracesieve_rule_matches_total{category="error_case",rule="bad"}') == 1
    assert served.sample('tracesieve_quarantined_total{reason="no_trace_id"}') == 1
    assert served.sample("tracesieve_in_progress_traces") == 1
    assert served.sample('tracesieve_alerts{rule="errors",severity="warning",state="firing"}') == 1
    assert served.sample("tracesieve_final_through_timestamp_seconds") == T0 / 1e6
    assert served.sample('tracesieve_window_error_ratio{experiment="support"}') == 0.5
    assert served.sample("tracesieve_late_traces_total") == 1


def test_sem_24_11_an_amendment_is_no_new_trace_and_the_future_is_counted_once(served: Served) -> None:
    served.step(NOW, T0)
    served.amend()
    served.step(NOW, T0)
    assert served.sample(FAILED) == 1
    assert served.sample(OK) == 1  # w alone: an amendment is no new trace
    assert served.sample("tracesieve_amended_traces_total") == 2
    assert served.sample('tracesieve_window_error_ratio{experiment="support"}') == 0
    assert served.sample("tracesieve_in_progress_traces") == 0
    served.step(T0 + 31 * MINUTE, T0)
    assert served.sample(OK) == 2  # the future has come, once


def counts(served: Served) -> tuple[float, float, float]:
    """Live traces, of which failed, and backlog."""
    found = [served.sample(name) or 0.0 for name in (OK, FAILED, "tracesieve_backfilled_traces_total")]
    return found[0], found[1], found[2]


def test_sem_13_24_backlog_moves_its_own_counter_and_the_gauges_alone(served: Served) -> None:
    served.step()
    before = counts(served)
    began = {"run_began_us": T0 + 2 * MINUTE}
    rows = [fact("down", 1, error=True, hits=HIT), fact("down2", 1), fact("live", 2, error=True)]
    batch(served.store, 2, rows, RULES, backlog=2, **began)
    served.step()
    assert counts(served) == (before[0], before[1] + 1, before[2] + 2)
    assert served.sample('tracesieve_rule_matches_total{category="error_case",rule="bad"}') == 1
    assert served.sample('tracesieve_trace_duration_seconds_count{experiment="support"}') == 2
    assert served.sample('tracesieve_window_error_ratio{experiment="support"}') == 3 / 5
    rows = [fact("down", 1, weight=-1), fact("down", 1, content_hash=2)]
    batch(served.store, 3, rows, RULES, backlog=0, amended=1, **began)
    served.step()
    assert counts(served) == (before[0], before[1] + 1, before[2] + 2)


def test_sem_24_after_a_restart_known_groups_and_rules_begin_at_zero(served: Served) -> None:
    served.step()
    again = MetricsFollower(
        served.store, MetricsState(["experiment"]), "s", Outbox(served.store), ["experiment"]
    )
    served.follower, served.state = again, again._state
    assert counts(served) == (0, 0, 0)
    assert served.sample(OK) == 0  # served before anything has come
    served.step()
    assert served.sample('tracesieve_rule_matches_total{category="error_case",rule="bad"}') == 0
    assert served.sample("tracesieve_label_overflow") == 0
