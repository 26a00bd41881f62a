"""Every ``--json`` writes a time in the same way, under the same keys; a new command is asked for here."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from support.command_line import write_table
from support.json_times import wrong_times
from support.made_facts import T0, batch, fact
from support.versioned_records import record, taken

from rules.rule_set import build_rule_set, parse_rule
from rules.units import MINUTE_US
from store import Store, open_store
from store.apply_log import ApplyRequest
from store.outbox import Ack, Outbox, OutboxMessage
from tracesieve.cli import cli
from tracesieve.json_output import TIME_KEYS, echo_json, iso, with_times
from tracesieve.run import apply
from tracesieve.run.summary import summary

RULES = """version: 1
rules:
  - id: bad
    when: status = 'ERROR'
    tag: error_case
    tests: {match: [{status: ERROR}]}
  - {id: burst, window: {size: 5m, by: [experiment]}, fire: traces > 0}
"""
FIRING = {
    "key": "k",
    "episode": "e",
    "status": "resolved",
    "rule": "burst",
    "severity": "warning",
    "by": ["experiment"],
    "group": ["support"],
    "starts_us": T0,
    "instant_us": T0 + 1,
    "value": float("nan"),
    "condition": "traces > 0",
    "summary": "it is met",
    "traces": 1,
    "errors": 0,
    "evidence": ["tr-0"],
    "paged": True,
    "notified_us": T0 + 1,
}
COMMANDS: dict[str, list[str]] = {
    "report": ["--from", "2026-01-01", "--to", "2028-01-01"],
    "profile": ["--from", "2026-01-01", "--to", "2028-01-01"],
    "search": ["state = 'OK'", "--from", "2026-01-01", "--to", "2028-01-01"],
    "explain": ["tr-0"],
    "alerts list": [],
    "outbox list": [],
    "datasets list": [],
    "datasets show": ["tracesieve_error_case"],
    "datasets diff": ["tracesieve_error_case"],
    "undo": [],
    "rules lint": [],
    "rules test": [],
    "rules list": [],
    "rules schema": [],
    "doctor": [],
    "init": ["--table", "traces", "--force"],
}
# What starts Spark is looked at where it is run: `answer` in tests/support/command_line.py does it each time;
# mutes, builds and pushes, beside their servers; evaluations and the scorecard, in
# tests/unit/tracesieve/evaluation.
ELSEWHERE = {"run", "apply", "alerts mutes", "datasets build", "datasets push", "datasets evaluate"}
ELSEWHERE |= {"rules scorecard"}


def commands(group: click.Group, path: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, f"{path}{name} ")
        elif command is not None:
            yield path + name, command


def test_every_command_with_json_is_looked_at() -> None:
    found = {
        name
        for name, command in commands(cli)
        for option in command.get_params(click.Context(command))
        if "--json" in option.opts
    }
    assert found == COMMANDS.keys() | ELSEWHERE


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A fact, an alert that is over, a message that waits and one that was refused, versions of a dataset."""
    write_table(tmp_path / "traces", 1)
    (tmp_path / "rules.yaml").write_text(RULES)
    config = "source: {kind: delta_traces, table: traces}\nstore: st\nrules: [rules.yaml]\nmetrics: null\n"
    (tmp_path / "tracesieve.yaml").write_text(config)
    store = open_store(str(tmp_path / "st"))
    began_us = time.time_ns() // 1000 - MINUTE_US
    batch(store, 0, [fact("tr-0", 1, error=True, start_us=began_us, end_us=began_us + 1)])
    store.table("notifications").append([FIRING])
    outbox = Outbox(store)
    outbox.enqueue([OutboxMessage("alert_log", name, {"n": 1}) for name in ("a", "b")], T0)
    outbox.ack([Ack(outbox.pending("alert_log")[0], "dead", "no")], T0)
    taken(store, record("one"))
    taken(store, record("two"), at_us=T0)
    return store


@pytest.mark.parametrize("name", COMMANDS)
def test_times_are_iso_8601_under_the_same_keys(
    name: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli, [*name.split(), *COMMANDS[name], "--json"])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    document = json.loads(done.stdout, parse_constant=pytest.fail)
    assert wrong_times(document) == []
    times = {"report": "2026-01-01T00:00:00.000000Z", "alerts list": iso(T0), "outbox list": iso(T0)}
    assert times.get(name, "") in done.stdout  # it had something to show


def test_the_page_for_scripts_lists_the_keys_of_times() -> None:
    page = (Path(__file__).parents[3] / "docs" / "operations.md").read_text()
    section = page.partition("## For scripts")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \| (.*) \|$", section, re.MULTILINE) == list(TIME_KEYS.items())


def test_apply_and_run_write_times_like_the_others(store: Store) -> None:
    rules = build_rule_set([parse_rule({"id": "bad", "when": "status = 'ERROR'", "tag": "error_case"})])
    request = ApplyRequest("r", (), T0, T0 + 1, "", T0)
    document = apply.document(request, [], rules)
    assert (document["from"], document["to"]) == (iso(T0), iso(T0 + 1))
    assert "from 2027-01-15 08:00:00 UTC to 2027-01-15 08:00:00 UTC" in apply.heading(document)
    assert wrong_times(document) == wrong_times(summary(store, "s", -1, 0, 0)) == []


def test_a_wrong_time_is_found() -> None:
    assert wrong_times({"from": 1.8e9}) and wrong_times({"starts": "2026-01-01T00:00:00Z"})
    assert wrong_times({"x": [{"at": T0}]}) and wrong_times({"at": "2026-01-01 10:00:00"})
    assert wrong_times({"created_us": T0}) and wrong_times({"new_us": 1})
    assert (
        wrong_times(with_times({"created_us": T0, "end_us": None}, created="created_us", ends="end_us")) == []
    )


def test_a_time_that_no_calendar_has_is_the_first_or_last_there_is() -> None:
    assert iso(9 * 10**18) == "9999-12-31T23:59:59.999999Z"
    assert iso(-9 * 10**18) == "0001-01-01T00:00:00.000000Z"
    assert iso(None) is None


def test_a_number_that_json_does_not_have_is_null(capsys: pytest.CaptureFixture[str]) -> None:
    echo_json({"a": [float("nan"), {"b": float("-inf")}], "c": 1.5, "d": "\ud800"})
    assert json.loads(capsys.readouterr().out) == {"a": [None, {"b": None}], "c": 1.5, "d": "\ud800"}
