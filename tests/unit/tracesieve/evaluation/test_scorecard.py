"""``rules scorecard``: what rules matched, what proved to be failures, and the verdict with its reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support.evaluated import case, evaluation, loaded, named, scores, write_config
from support.json_times import wrong_times
from support.made_facts import MINUTE, T0, fact
from support.versioned_records import record, taken

from rules.rule_set import RuleSet, build_rule_set, parse_rule
from rules.units import DAY_US
from sinks.mlflow.records import RecordKey, Records, RecordSource
from store import Store, open_store
from store.rule_sets import RuleSets
from tracesieve.commands.rules import rules as rules_command
from tracesieve.commands.rules_scorecard import lines
from tracesieve.datasets.record import Record
from tracesieve.errors import TracesieveError
from tracesieve.evaluation.case import case_of
from tracesieve.evaluation.history import History
from tracesieve.evaluation.scorecard import scorecard
from tracesieve.evaluation.verdicts import Overlap, Proportion, Standing, decide, proportion

ITEMS: list[dict[str, Any]] = [
    {"id": "bad", "when": "status = 'ERROR'", "tag": "error_case"},
    {"id": "slow", "when": "execution_time_ms > 5000", "tag": "slow_response"},
    {"id": "rate", "window": {"size": "2m"}, "fire": "traces > 1"},
]
RULES: RuleSet = build_rule_set([parse_rule(item) for item in ITEMS])
HASH = {rule.id: rule.hash for rule in RULES.rules}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = open_store(str(tmp_path / ".tracesieve"))
    RuleSets(made).put(RULES, ["experiment"], T0 - 40 * DAY_US)
    return made


def hits(*ids: str, version: str = "") -> list[dict[str, str]]:
    return [{"rule": one, "hash": version or HASH[one]} for one in ids]


def facts(store: Store, *rows: dict[str, Any]) -> None:
    store.table("facts").append([{**row, "stream_id": "s", "batch_id": n} for n, row in enumerate(rows)])


def of(store: Store, rule: str, days: int = 30) -> dict[str, Any]:
    document = scorecard(store, T0 - days * DAY_US, T0 + DAY_US)
    return next(one for one in document["rules"] if one["rule"] == rule)


def by_rule(question: str, **expectations: Any) -> Record:
    """A record that the present version of `bad` brought."""
    tags = {"tracesieve.rules": f"bad@{HASH['bad']}", "tracesieve.sources": '["t"]'}
    return Record({"q": question}, "a", expectations, tags, ("t",))


def judged(store: Store, **outcomes: str) -> None:
    """A version whose records were brought by `bad`, and what a scorer finds of each stored answer."""
    made = [by_rule(question) for question in outcomes]
    taken(store, *made)
    cases = [case_of(one) for one in made]
    found = scores({(question, "safe"): outcome for question, outcome in outcomes.items()})
    History(store).put(loaded(cases), [named("safe")], evaluation(found, cases), None)


def test_matches_are_those_of_the_present_version_of_facts_that_stand(store: Store) -> None:
    gone = fact("gone", 3, hits=hits("bad"))
    facts(
        store,
        fact("a", 1, hits=hits("bad", "slow")),
        fact("b", 2, hits=hits("bad")),
        gone,
        {**gone, "weight": -1},
        fact("old", 4, hits=hits("bad", version="former")),
        fact("counted", 5, hits=hits("rate")),
    )
    found = of(store, "bad")
    assert (found["matches"], found["older_matches"]) == (2, 1)
    assert of(store, "slow")["overlap"] == {"rule": "bad", "share": 1.0}
    assert of(store, "rate")["matches"] == 0  # an alert rule that counts a trace does not match it
    store.table("evidence").append(
        [{"episode": "e", "rule": "rate", "rule_hash": HASH["rate"], "instant_us": T0, "trace_id": "a"}]
    )
    assert of(store, "rate")["matches"] == 1


def test_records_in_sets_count_once_whatever_number_of_traces_is_behind_them(store: Store) -> None:
    rules = (("bad", HASH["bad"]),)
    first, second = RecordKey("d", "1", "r1"), RecordKey("d", "1", "r2")
    records = Records(store.table("records"))
    records.change(
        {
            first: {t: RecordSource(t, 1, rules) for t in ("t1", "t2")},
            second: {"t3": RecordSource("t3", 1, rules)},
        }
    )
    assert of(store, "bad")["in_sets"] == 2
    records.change({second: {"t3": None}})
    assert of(store, "bad")["in_sets"] == 1


def test_sem_41_a_stored_answer_that_passes_every_scorer_was_no_failure(store: Store) -> None:
    judged(store, a="fail", b="pass", c="pass", d="error", e="skipped")
    found = of(store, "bad")
    assert (found["reviewed"], found["proved"]) == (3, 1)
    assert found["precision"] == pytest.approx(1 / 3)
    assert found["precision_low"] < 1 / 3 < found["precision_high"]
    assert of(store, "slow")["precision"] is None


def test_sem_41_the_word_of_a_person_stands_above_that_of_scorers(store: Store) -> None:
    judged(store, a="fail", b="pass")
    taken(store, by_rule("a", is_failure=False), at_us=T0 + 1)
    assert (of(store, "bad")["reviewed"], of(store, "bad")["proved"]) == (2, 0)
    taken(store, by_rule("a"), at_us=T0 + 2)  # the mark is taken away again
    assert of(store, "bad")["proved"] == 1


def test_a_person_may_say_it_by_expectation_or_tag_and_no_scorer_sees_it() -> None:
    found = case_of(record("a", expectations={"is_failure": "no", "expected_response": "x"}))
    assert (found.marked_failure, dict(found.expectations)) == (False, {"expected_response": "x"})
    assert case_of(record("a", is_failure="Yes")).marked_failure is True
    assert case_of(record("a", is_failure="who knows")).marked_failure is None


def test_a_scorer_that_does_not_decide_says_nothing_of_failures(store: Store) -> None:
    cases = [case("a")]
    found = scores({("a", "short"): "fail"})
    History(store).put(loaded(cases), [named("short", decides_failure=False)], evaluation(found, cases), None)
    assert of(store, "bad")["reviewed"] == 0


def test_a_store_without_rules_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TracesieveError, match="no rules have been in force yet"):
        scorecard(open_store(str(tmp_path / "empty")), 0, T0)


def test_the_command_prints_one_document_or_a_table_that_fits(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    facts(store, *(fact(f"t{number}", number, hits=hits("bad", "slow")) for number in range(30)))
    judged(store, **{f"q{number}": "fail" if number < 11 else "pass" for number in range(12)})
    config = write_config(tmp_path, "scorers: {}")
    options = ["scorecard", "-c", str(config), "--from", "2027-01-01", "--to", "2027-02-01"]
    done = CliRunner().invoke(rules_command, [*options, "--json"])
    document = json.loads(done.stdout)
    assert (done.exit_code, wrong_times(document)) == (0, [])
    text = "\n".join(lines(document))
    assert max(map(len, text.splitlines())) <= 80
    assert "bad: tune, it matches 100% of all traces" in " ".join(text.split())
    assert CliRunner().invoke(rules_command, options).output == text + "\n"


def standing(**changes: Any) -> Standing:
    base: dict[str, Any] = {"rule": "r", "category": "error_case", "alerts": False, "matches": 30}
    return Standing(**{**base, "in_force_days": 30.0, **changes})


@pytest.mark.parametrize(
    ("changes", "verdict", "reason"),
    [
        ({"failures": proportion(1, 60)}, "retire", "surely fewer than 20%"),
        ({"failures": proportion(12, 60)}, "tune", "surely fewer than half"),
        ({"failures": proportion(40, 60)}, "keep", "40 of 60 reviewed records were failures"),
        ({"failures": proportion(0, 3)}, "keep", "too little is reviewed to judge it (3 of at least 10"),
        ({"matches": 0}, "retire", "it matched nothing in 30 days"),
        ({"matches": 0, "in_force_days": 3.0}, "keep", "3 days are too short"),
        ({"matches": 0, "older_matches": 4}, "keep", "tracesieve apply"),
        ({"matches": 0, "alerts": True, "category": None}, "keep", "an alert that is quiet"),
        ({"matches": 400}, "tune", "40% of all traces"),
    ],
)
def test_a_verdict_has_its_reason_in_words(changes: dict[str, Any], verdict: str, reason: str) -> None:
    found = decide(standing(**changes), {}, 1_000)
    assert (found[0], reason in found[1]) == (verdict, True), found


def test_of_two_rules_that_match_the_same_one_stays() -> None:
    one = standing(rule="a", overlaps=[Overlap("b", 30, 1.0)])
    two = standing(rule="b", overlaps=[Overlap("a", 30, 1.0)])
    both = {"a": one, "b": two}
    assert sorted(decide(each, both, 1_000)[0] for each in both.values()) == ["keep", "retire"]
    other = standing(rule="b", category="slow_response", overlaps=[Overlap("a", 30, 1.0)])
    assert decide(one, {"a": one, "b": other}, 1_000)[0] == "keep"


def test_the_interval_is_wilsons() -> None:
    found = proportion(8, 10)
    assert (round(found.low, 4), round(found.high, 4)) == (0.4902, 0.9433)
    assert proportion(0, 0) == Proportion(0, 0)


def test_a_day_has_the_matches_of_the_days_that_facts_cover(store: Store) -> None:
    rows = [fact(f"t{number}", -number * 24 * 60, hits=hits("bad")) for number in range(4)]
    facts(store, *rows)
    document = scorecard(store, T0 - 30 * DAY_US, T0 + MINUTE)
    assert document["rules"][0]["matches_per_day"] == pytest.approx(4 / 3, rel=0.01)
