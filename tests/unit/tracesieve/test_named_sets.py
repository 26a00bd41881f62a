"""Datasets that the config names: what feeds them, and what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.dataset_candidates import RULES, counted, failed, follower, labelled, members
from support.made_facts import T0, put

from rules.rule_set import RuleSet
from rules.tags import search_rule
from rules.units import DAY_US
from sinks.mlflow.config import DatasetsConfig
from store import Store, open_store
from store.outbox import last_messages
from tracesieve.analysis.report import report
from tracesieve.config.loading import load_settings
from tracesieve.datasets.conditions import dataset_rules
from tracesieve.datasets.pool import left_out
from tracesieve.datasets.sets import DatasetSets
from tracesieve.errors import ConfigError
from tracesieve.run.dataset_faults import dataset_faults


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path))


def test_sets_of_the_config_take_the_place_of_categories(store: Store) -> None:
    config: dict[str, Any] = {
        "sets": {
            "regressions": {"categories": ["error_case", "slow_response"], "quotas": {"total": 3}},
            "slow": {"rules": ["slow"]},
            "checked": {"categories": ["error_case"], "approval": True},
        }
    }
    rows = [failed(f"e{n}", "down") for n in range(6)] + [failed("s", rules=["slow"])]
    counted(store, 0, rows)
    for trace_id, label in (("e1", "checked"), ("e2", "golden")):
        labelled(store, trace_id, label)
    put(store, RULES, 1)
    follower(store, **config).step(RULES, 1)
    found = members(store)
    assert sum("regressions" in names for names in found.values()) == 3
    assert (found["s"], "checked" in found["e1"], "golden" in found["e2"]) == (
        ["regressions", "slow"],
        True,
        True,
    )
    sets = DatasetSets(DatasetsConfig.model_validate(config))
    assert left_out(store, sets, "checked") == {"unapproved": 5}
    document = report(store, T0, T0 + DAY_US, [], T0 + DAY_US, sets=sets)
    shown = {row["category"]: row["matched"] for row in document["categories"]}
    assert shown == {"regressions": 7, "checked": 6, "slow": 1, "golden": 1}


CONDITIONS = {
    "sets": {
        "long": {"where": "execution_time_ms > 9000"},
        "checked": {"where": "execution_time_ms > 9000", "approval": True},
        "slow": {"rules": ["slow"], "categories": ["datasets.long"]},
    }
}


@pytest.fixture
def rules(tmp_path: Path) -> RuleSet:
    file = tmp_path / "c.yaml"
    file.write_text(f"source: {{kind: delta_traces, table: t}}\ndatasets: {json.dumps(CONDITIONS)}\n")
    return RULES.with_rules(dataset_rules(load_settings(file)))


def test_a_condition_feeds_its_set_and_no_other_tags_nothing_and_is_counted_as_no_rule(
    store: Store, rules: RuleSet
) -> None:
    hashes = {rule.id: rule.hash for rule in rules.rules}
    assert list(hashes)[-2:] == ["datasets.long", "datasets.checked"]

    def hit(*ids: str) -> list[dict[str, str]]:
        return [{"rule": one, "hash": hashes[one]} for one in ids]

    rows = [
        failed("a", rules=[], hits=hit("datasets.long", "datasets.checked")),
        failed("b", rules=[], hits=hit("slow", "datasets.long", "datasets.checked")),
        failed("c", rules=["slow"]),
    ]
    counted(store, 0, rows)
    labelled(store, "b", "checked")
    put(store, rules, 1)
    both = follower(store, **CONDITIONS)
    both.tag_sinks = ["mlflow_tags"]
    both.step(rules, 1)
    assert members(store) == {"a": ["long"], "b": ["checked", "long", "slow"], "c": ["slow"]}
    tagged = last_messages(store, ["mlflow_tags"])["target"].to_list()
    assert sorted(tagged) == ["b", "c"]
    (payload,) = (
        json.loads(text)
        for target, text in last_messages(store, ["mlflow_datasets"]).select("target", "newest").iter_rows()
        if target == "a"
    )
    assert payload["categories"]["long"] == {
        "rules": hit("datasets.long"),
        "reason": "condition: execution_time_ms > 9000",
    }
    sets = DatasetSets(DatasetsConfig.model_validate(CONDITIONS))
    document = report(store, T0, T0 + DAY_US, [], T0 + DAY_US, sets=sets)
    assert {row["category"]: row["matched"] for row in document["categories"]} == {
        "long": 2,
        "checked": 2,
        "slow": 2,
    }
    assert document["rules"] == {"slow": 2}


def test_once_the_config_has_no_such_condition_its_matches_feed_nothing() -> None:
    entry = {"rules": [{"rule": "datasets.long", "hash": "h"}], "reason": "condition: x"}
    without: dict[str, Any] = {"sets": {"long": {}, "slow": {"rules": ["slow"]}}}
    for config in (without, {}):
        left = DatasetSets(DatasetsConfig.model_validate(config))
        assert left.fed({"datasets.long": entry}) == {}


def test_a_search_feeds_the_set_that_it_names() -> None:
    sets = DatasetSets(
        DatasetsConfig.model_validate({"sets": {"error_case": {}, "slow": {"rules": ["slow"]}}})
    )
    rule, search = {"rule": "failed", "hash": "1"}, search_rule("status = 'ERROR'")
    both = {"rules": [rule, search], "reason": "a tool", "picked": "a search"}
    alone = {"rules": [search], "reason": "a search", "picked": "a search"}
    fed = sets.fed({"error_case": both, "slow": alone, "adhoc": alone})
    assert fed == {"error_case": both, "slow": alone, "adhoc": alone}


def test_every_mistake_that_only_the_rules_can_tell_is_named_at_its_line_with_the_nearest_name(
    tmp_path: Path,
) -> None:
    file = tmp_path / "tracesieve.yaml"
    file.write_text(
        "source: {kind: delta_traces, table: t}\n"
        "datasets:\n"
        "  keep: [outcom]\n"
        "  sets:\n"
        "    regressions: {}\n"
        "    nothing: {categories: [], people: false}\n"
        "    named:\n"
        "      categories: [error_cases]\n"
        "      rules: [slow, fialed]\n"
        "      keep: [trace_nam, query]\n"
        "    error_case: {approval: true}\n"
        "    checked: {rules: [slow], approval: true, people: false}\n"
        "    long: {where: execution_time_ms > 1}\n"
        "    alone: {categories: [], where: execution_time_ms > 1, people: false}\n"
    )
    found = [str(one).removeprefix(f"{file}:") for one in dataset_faults(load_settings(file), RULES)]
    assert [one.partition(" (")[0] for one in found] == [
        "3: datasets.keep.0: there is no stratum outcom",
        "5: datasets.sets.regressions: no rule has the category regressions, and nothing else feeds the set",
        "6: datasets.sets.nothing: nothing feeds the set",
        "8: datasets.sets.named.categories.0: there is no category error_cases",
        "9: datasets.sets.named.rules.1: there is no rule fialed",
        "10: datasets.sets.named.keep.0: there is no stratum trace_nam",
        "11: datasets.sets.error_case: with approval a set cannot be named as the category error_case",
        "12: datasets.sets.checked.people: approval comes from people: false leaves the set empty",
    ]
    nearest = ("outcome", "error_case", "failed", "trace_name")
    assert [one for one in nearest if f"did you mean {one}?" in "\n".join(found)] == list(nearest)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{quotas: {totl: 1}}", "2: datasets.quotas.totl: unknown key (did you mean `total`?)"),
        ("{quotas: {total: 0}}", "2: datasets.quotas.total: "),
        ("{sets: {a b: {}}}", "2: datasets.sets: a b: a name has letters"),
        ("{sets: {a: {categries: []}}}", "2: datasets.sets.a.categries: unknown key"),
        (
            "{sets: {a: {where: \"statsu = 'OK'\"}}}",
            "2:31: datasets.sets.a.where: unknown field `statsu` (did you mean `status`?)\n"
            "    datasets: {sets: {a: {where: \"statsu = 'OK'\"}}}\n"
            "                                  ^",
        ),
        (
            "\n  sets:\n    a:\n      where: |\n        status = 'OK'\n        AND nothing = 1\n",
            "7:13: datasets.sets.a.where: unknown field `nothing`",
        ),
        (
            "{sets: {a: {where: status = #1\n}}}",
            "(YAML takes what follows ` #` for a comment; quote the condition,",
        ),
        ("{sets: {a: {where: 7}}}", "2: datasets.sets.a.where: a text is expected, not 7"),
        (
            "{sets: {a: {where: \"x = 1 AND y = 2\"}, b: {where: ''}}}",
            "2:41: datasets.sets.a.where: unknown field `y`",
        ),
        (
            "{sets: {a: {expectations: {guidelines: [1], expected_response: [],"
            " is_failure: no, d: 2026-01-01}}}}",
            "2: datasets.sets.a.expectations: `guidelines`: a list of texts is expected, or one text; "
            "`expected_response`: a text is expected; `is_failure`: is what a person says of one record, not "
            "of a set; `d`: is no JSON: a date is written in quotes",
        ),
    ],
)
def test_a_mistake_in_the_shape_is_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "tracesieve.yaml"
    file.write_text(f"source: {{kind: delta_traces, table: t}}\ndatasets: {text}\n")
    with pytest.raises(ConfigError) as caught:
        load_settings(file)
    assert message in str(caught.value)


def test_a_config_without_datasets_has_no_mistakes_in_them(tmp_path: Path) -> None:
    file = tmp_path / "tracesieve.yaml"
    file.write_text("source: {kind: delta_traces, table: t}\ndatasets: false\n")
    assert dataset_faults(load_settings(file), RULES) == []
