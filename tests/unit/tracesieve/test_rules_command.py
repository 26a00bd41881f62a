"""``tracesieve rules``: exit codes, finding lines off a terminal, and one JSON document."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tracesieve.commands.rules import command

GOOD = (
    "version: 1\nrules:\n  - id: a\n    when: status = 'ERROR'\n    tag: t\n    tests:\n      match: "
    "[{status: ERROR}]\n"
)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command, list(arguments))


def test_without_a_config_the_default_pack_is_used() -> None:
    assert run("lint").exit_code == 0
    assert run("test").exit_code == 0
    listed = json.loads(run("list", "--json").stdout)
    assert [rule["id"] for rule in listed["rules"]][:2] == ["error-traces", "tool-errors"]


def test_sem_30_a_finding_is_one_line_with_its_place_and_mend() -> None:
    Path("r.yaml").write_text(GOOD.replace("tag:", "tags:"))
    result = run("lint", "r.yaml")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "r.yaml:3:5: missing-key `tag` is required in a trace rule (it has `when`)",
        "r.yaml:5:5: unknown-key unknown key `tags` (did you mean `tag`?)",
    ]
    document = json.loads(run("lint", "r.yaml", "--json").stdout)
    assert document["ok"] is False and [f["line"] for f in document["findings"]] == [3, 5]


def test_a_failed_test_is_a_finding_at_the_test() -> None:
    Path("r.yaml").write_text(GOOD.replace("{status: ERROR}", "{status: ERROR}, {status: OK}"))
    result = run("test", "r.yaml")
    assert result.exit_code == 1
    assert result.stdout.startswith(
        "r.yaml:7:32: test-failed rule `a`: this trace should match and does not (status = 'ERROR' is"
    )
    document = json.loads(run("test", "r.yaml", "--json").stdout)
    assert (document["tests"], document["failed"], document["ok"]) == (2, 1, False)


def test_rules_with_errors_are_not_tested_and_the_answer_is_no() -> None:
    Path("r.yaml").write_text(GOOD.replace("status = ", "stat = "))
    assert run("test", "r.yaml").exit_code == 1
    assert run("list", "r.yaml").exit_code == 1


def test_a_path_that_is_not_there_is_bad_usage() -> None:
    assert run("lint", "nope.yaml").exit_code == 2


def test_the_schema_is_json_that_knows_both_kinds_of_rule() -> None:
    schema = json.loads(run("schema").stdout)
    assert {"TraceRuleModel", "WindowRuleModel"} <= schema["$defs"].keys()
    assert schema["$defs"]["WindowRuleModel"]["properties"]["for"]["type"] == "string"
    assert schema["$defs"]["WindowModel"]["properties"]["every"]["default"] == "60s"
