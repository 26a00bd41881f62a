"""``tracesieve rules``: exit codes, finding lines off a terminal, and one JSON document."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
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
        "r.yaml:3:5: error missing-key `tag` is required in a trace rule (it has `when`)",
        "r.yaml:5:5: error unknown-key unknown key `tags` (did you mean `tag`?)",
    ]
    document = json.loads(run("lint", "r.yaml", "--json").stdout)
    assert document["ok"] is False and [f["line"] for f in document["findings"]] == [3, 5]


def test_sem_30_on_a_terminal_a_caret_stands_under_the_place() -> None:
    Path("r.yaml").write_text(GOOD.replace("status = 'ERROR'", "status = ERROR AND name = '\u202e'"))
    ours, theirs = pty.openpty()
    lint = "from tracesieve.commands.rules import command; command(['lint', 'r.yaml'])"
    with subprocess.Popen([sys.executable, "-c", lint], stdout=theirs, stderr=subprocess.DEVNULL) as process:
        shown = os.read(ours, 4096)
        while shown.count(b"\n") < 3:
            shown += os.read(ours, 4096)
        process.wait()
    os.close(theirs)
    os.close(ours)
    assert shown.decode().splitlines()[:3] == [
        "r.yaml:4:20: error unknown-field unknown field `ERROR` (did you mean 'ERROR'?)",
        r"    when: status = ERROR AND name = '\u202e'",
        "                   ^",
    ]


def test_sem_30_errors_come_before_warnings() -> None:
    Path("r.yaml").write_text(GOOD.split("    tests")[0] + "  - {id: b, when: nope = 1, tag: t}\n")
    lines = run("lint", "r.yaml").stdout.splitlines()
    assert [line.split(" ")[:3] for line in lines] == [
        ["r.yaml:6:19:", "error", "unknown-field"],
        ["r.yaml:3:5:", "warning", "no-tests"],
        ["r.yaml:6:6:", "warning", "no-tests"],
    ]
    severities = [one["severity"] for one in json.loads(run("lint", "r.yaml", "--json").stdout)["findings"]]
    assert severities == ["error", "warning", "warning"]


def test_a_list_shows_what_decides_when_a_rule_alerts() -> None:
    rows = {row["id"]: row for row in json.loads(run("list", "--json").stdout)["rules"]}
    assert rows["error-traces"]["settings"] == {}
    assert rows["error-rate-high"]["settings"] == {
        "window": "5m",
        "groups": "experiment, trace_name",
        "every": "1m",
        "min_traces": "20",
        "for": "2m",
        "clear": "error_rate < 0.02",
        "keep_firing_for": "0s",
    }
    listed = " ".join(run("list").stdout.split())
    assert "window: 5m; groups: experiment, trace_name; every: 1m; min_traces: 20; for: 2m; clear:" in listed


def test_a_failed_test_is_a_finding_at_the_test() -> None:
    Path("r.yaml").write_text(GOOD.replace("{status: ERROR}", "{status: ERROR}, {status: OK}"))
    result = run("test", "r.yaml")
    assert result.exit_code == 1
    assert result.stdout.startswith(
        "r.yaml:7:32: error test-failed rule `a`: this trace should match and does not (status = 'ERROR' is"
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
