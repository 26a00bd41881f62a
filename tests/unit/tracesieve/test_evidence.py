"""Which traces become evidence in the store, and what an alert shows of its value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.made_facts import MINUTE, T0, batch, fact

from rules.rule_set import RuleSet, build_rule_set, parse_rule
from rules.units import DAY_US as DAY
from store import Store, open_store
from store.outbox import Outbox
from tracesieve.alerts.notifications import Notifications
from tracesieve.alerts.verdicts import Verdicts

ALERT = {"id": "alert", "window": {"size": "2m"}, "evidence": {"tag": "t", "most": 3}}
SECONDS = 1_000_000


def rule_set(fire: str, **changes: Any) -> RuleSet:
    return build_rule_set([parse_rule({**ALERT, "fire": fire, **changes})])


def traffic(store: Store, rules: RuleSet, **changes: Any) -> None:
    """Failed, slow, large and plain traces in one minute."""
    rows = [fact(f"plain{i}", 0, duration_us=SECONDS, **changes) for i in range(10)]
    rows += [fact(f"failed{i}", 0, error=True, duration_us=SECONDS) for i in range(4)]
    rows += [fact(f"slow{i}", 0, duration_us=(9 + i) * SECONDS) for i in range(4)]
    rows += [
        fact(f"large{i}", 0, duration_us=SECONDS, tokens_total=100 + i, cost_nusd=5 - i) for i in range(4)
    ]
    batch(store, 0, rows, rules)


def evidence(tmp_path: Path, fire: str, **changes: Any) -> list[str]:
    store, rules = open_store(str(tmp_path)), rule_set(fire, **changes)
    traffic(store, rules)
    Verdicts(store, "s", DAY).step(rules, T0 + MINUTE, T0 + MINUTE)
    return store.table("evidence").read().sort("rank")["trace_id"].to_list()


@pytest.mark.parametrize(
    ("fire", "picked"),
    [
        ("p95_ms > 8000 AND error_rate < 0.5", ["slow3", "slow2", "slow1"]),
        ("error_rate < 0.5 AND p95_ms > 8000", ["slow3", "slow2", "slow1"]),
        ("p95_ms > 10500 AND errors < 100", ["slow3", "slow2"]),
        ("error_rate > 0.9 OR p95_ms > 8000", ["slow3", "slow2", "slow1"]),
        ("p95_ms > 90000 OR error_rate > 0.1", ["failed0", "failed1", "failed2"]),
        ("tokens > 100 AND error_rate < 0.5", ["large3", "large2", "large1"]),
        ("cost_usd > 0 AND tokens < 100000 AND errors < 9", ["large0", "large1", "large2"]),
        ("error_rate > 0.1 AND tokens > 1", ["failed0", "failed1", "failed2"]),
    ],
)
def test_sem_17_evidence_is_what_made_the_condition_hold(
    tmp_path: Path, fire: str, picked: list[str]
) -> None:
    assert evidence(tmp_path, fire) == picked


def test_sem_17_a_where_limits_evidence_to_what_it_counts(tmp_path: Path) -> None:
    store, rules = open_store(str(tmp_path)), rule_set("p95_ms > 8000", where="tags.a = 'b'")
    hit = [{"rule": "alert", "hash": rules.alert_rules[0].hash}]
    batch(
        store,
        0,
        [
            fact("counted", 0, duration_us=9 * SECONDS, hits=hit),
            fact("other", 0, duration_us=20 * SECONDS),
        ],
        rules,
    )
    Verdicts(store, "s", DAY).step(rules, T0 + MINUTE, T0 + MINUTE)
    assert store.table("evidence").read()["trace_id"].to_list() == ["counted"]


def test_the_value_on_a_page_is_that_of_the_part_that_holds(tmp_path: Path) -> None:
    store, rules = (
        open_store(str(tmp_path)),
        rule_set("error_rate > 0.9 OR p95_ms > 8000", points_to="the index"),
    )
    traffic(store, rules)
    Verdicts(store, "s", DAY).step(rules, T0 + MINUTE, T0 + MINUTE)
    (row,) = Notifications(store, Outbox(store), DAY, [], []).step(rules, T0 + MINUTE)
    assert row["value"] == pytest.approx(11_000, rel=0.0056)
    assert row["summary"].startswith("error_rate > 0.9 OR p95_ms > 8000 is met with 1")
    assert row["summary"].endswith(" over 22 traces: the index")
