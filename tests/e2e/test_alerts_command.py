"""``tracesieve alerts test`` and ``alerts mute`` against real Alertmanagers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest
import requests
from click.testing import CliRunner, Result
from support.json_times import wrong_times
from support.servers import PASSWORD, alertmanager, free_port, self_signed
from support.web_hook import WebHook, web_hook

from sinks.alertmanager import Alertmanager, AlertmanagerConfig
from sinks.base import sample_alerts
from store.outbox import PendingMessage
from tracesieve.cli import cli

pytestmark = pytest.mark.e2e
Found = TypeVar("Found")
RULES = """
version: 1
rules:
  - {id: too-loud, window: {size: 5m, by: [environment]}, fire: error_rate > 0.1}
  - {id: some-rule, window: {size: 5m}, fire: error_rate > 0.1}
  - {id: tags-only, when: "status = 'ERROR'", tag: error_case}
"""


@pytest.fixture(scope="module")
def hook() -> Iterator[WebHook]:
    with web_hook() as serving:
        yield serving


@pytest.fixture(scope="module")
def server(hook: WebHook, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """It groups for as long as one does that was set up by hand: 30 s."""
    with alertmanager(tmp_path_factory.mktemp("am"), webhook=hook.url, group_wait="30s") as uri:
        yield uri


def config(folder: Path, *instances: str) -> Path:
    file = folder / "c.yaml"
    alerts = f"alerts: {{alertmanager: [{', '.join(instances)}]}}" if instances else ""
    (folder / "rules.yaml").write_text(RULES)
    file.write_text(f"source: {{kind: delta_traces, table: traces}}\nrules: [rules.yaml]\n{alerts}\n")
    return file


def alerts(file: Path, *arguments: str) -> Result:
    done = CliRunner().invoke(cli, ["alerts", arguments[0], "-c", str(file), *arguments[1:]])
    assert not (file.parent / ".tracesieve").exists(), "these commands need no store and make none"
    return done


def until(look: Callable[[], Found], what: str, seconds: float = 20) -> Found:
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.2)
    return found


def shown(uri: str, rule: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = requests.get(f"{uri}/api/v2/alerts", timeout=10).json()
    return [one for one in found if one["labels"]["alertname"] == rule]


def test_a_test_alert_pages_people_at_once_and_ends_within_five_minutes(
    server: str, hook: WebHook, tmp_path: Path
) -> None:
    done = alerts(config(tmp_path, f"'{server}'"), "test")
    assert (done.exit_code, done.output) == (0, f"sent to {server}\n")
    (alert,) = shown(server, "tracesieve-test")
    assert alert["labels"] == {"alertname": "tracesieve-test", "severity": "info"}
    ends = datetime.fromisoformat(alert["endsAt"])
    assert 0 < (ends - datetime.now(UTC)).total_seconds() < 300
    (page,) = until(lambda: hook.bodies, "people are paged", 15)
    assert [(one["status"], one["labels"]["alertname"]) for one in page["alerts"]] == [
        ("firing", "tracesieve-test")
    ]


def test_an_instance_that_is_down_is_named_and_the_other_one_is_tested(server: str, tmp_path: Path) -> None:
    down = f"http://127.0.0.1:{free_port()}"
    for command in (("test",), ("mute", "some-rule")):
        done = alerts(config(tmp_path, f"'{down}'", f"'{server}'"), *command)
        assert getattr(done.exception, "exit_code", None) == 3
        assert down in str(done.exception)
        assert server not in str(done.exception)
        port = down.rpartition(":")[2]
        assert f"nothing listens at 127.0.0.1:{port}: start it, or correct the port" in str(done.exception)
    assert shown(server, "tracesieve-test")
    assert len([one for one in silences(server) if one["comment"].endswith("some-rule")]) == 1


def silences(uri: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = requests.get(f"{uri}/api/v2/silences", timeout=10).json()
    return found


def fire(uri: str, rule: str) -> None:
    """Post an alert of a rule as a run does."""
    payload = sample_alerts("alertmanager", time.time_ns() // 1000)[0].payload
    sink = Alertmanager([AlertmanagerConfig(url=uri)])
    (outcome,) = sink.deliver([PendingMessage("alertmanager", rule, {**payload, "rule": rule})])
    assert outcome.error is None


def test_a_muted_rule_pages_nobody_until_then_and_the_others_do(
    server: str, hook: WebHook, tmp_path: Path
) -> None:
    done = alerts(config(tmp_path, f"'{server}'"), "mute", "too-loud", "--for", "30m")
    assert done.exit_code == 0, done.exception
    (silence,) = [one for one in silences(server) if one["comment"] == "tracesieve alerts mute too-loud"]
    assert (silence["status"]["state"], silence["createdBy"]) == ("active", "tracesieve")
    ends = datetime.fromisoformat(silence["endsAt"])
    assert 1790 < (ends - datetime.now(UTC)).total_seconds() <= 1800
    assert done.output == f"too-loud is muted at {server} until {ends:%Y-%m-%dT%H:%M:%SZ}\n"
    fire(server, "too-loud")
    fire(server, "other-rule")
    until(lambda: [page for page in hook.bodies if "other-rule" in str(page)], "the other rule pages")
    assert not [page for page in hook.bodies if "too-loud" in str(page)]
    assert [one["status"]["state"] for one in shown(server, "too-loud")] == ["suppressed"]
    assert [one["status"]["state"] for one in shown(server, "other-rule")] == ["active"]


def test_a_mute_of_a_group_is_listed_and_ended_and_that_of_others_stays(server: str, tmp_path: Path) -> None:
    file = config(tmp_path, f"'{server}'")
    assert alerts(file, "mute", "too-loud", "--group", "environment=dev", "--for", "2h").exit_code == 0
    assert alerts(file, "mute", "some-rule", "--for", "10m").exit_code == 0
    by_hand = {
        "matchers": [{"name": "alertname", "value": "some-rule", "isRegex": False}],
        "startsAt": "2026-01-01T00:00:00Z",
        "endsAt": "2099-01-01T00:00:00Z",
        "createdBy": "alice",
        "comment": "a move",
    }
    requests.post(f"{server}/api/v2/silences", json=by_hand, timeout=10).raise_for_status()
    listed = json.loads(alerts(file, "mutes", "--json").stdout)["mutes"]
    assert wrong_times(listed) == []
    found = {(one["rule"], one["group"].get("environment"), one["by"]) for one in listed}
    expected = {
        ("too-loud", "dev", "tracesieve"),
        ("some-rule", None, "tracesieve"),
        ("some-rule", None, "alice"),
    }
    assert expected <= found
    assert all(len(line) <= 80 for line in alerts(file, "mutes").output.splitlines())
    done = alerts(file, "unmute", "too-loud", "--group", "environment=dev")
    assert done.output == f"too-loud environment=dev pages again at {server}\n"
    assert alerts(file, "unmute", "some-rule").output.splitlines()[-1] == f"some-rule pages again at {server}"
    again = alerts(file, "unmute", "some-rule")
    assert getattr(again.exception, "exit_code", None) == 1
    assert "some-rule is not muted by `tracesieve alerts mute`; alice muted it at" in str(again.exception)
    left = json.loads(alerts(file, "mutes", "--json").stdout)["mutes"]
    assert [one["by"] for one in left if one["rule"] == "some-rule"] == ["alice"]
    unknown = alerts(file, "unmute", "some-rul")
    assert "did you mean `some-rule`?" in str(unknown.exception)


def test_a_login_is_used_and_a_wrong_one_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = self_signed(tmp_path)
    monkeypatch.setenv("AM_PASSWORD", PASSWORD)
    monkeypatch.setenv("AM_WRONG", "other")
    with alertmanager(tmp_path / "am", certificate=certificate) as uri:
        for name, code in (("AM_PASSWORD", None), ("AM_WRONG", 3)):
            login = f"username: prom, password_env: {name}, ca_file: '{certificate[0]}'"
            for command in (("test",), ("mute", "some-rule")):
                done = alerts(config(tmp_path, f"{{url: '{uri}', {login}}}"), *command)
                assert getattr(done.exception, "exit_code", None) == code, done.exception
                assert code is None or "HTTP 401: it does not let us in" in str(done.exception)


@pytest.mark.parametrize(
    ("instances", "arguments", "problem"),
    [
        ((), ("test",), "there is no receiver of alerts in the config"),
        ((), ("mute", "some-rule"), "there is no receiver of alerts in the config"),
        ((), ("mutes",), "there is no receiver of alerts in the config"),
        (("'http://a:1'",), ("mute", "too-loud", "--for", "soon"), "--for soon: write a duration"),
        (
            ("'http://a:1'",),
            ("mute", "to-loud"),
            "no rule to-loud that alerts: did you mean `too-loud`?",
        ),
        (("'http://a:1'",), ("mute", "x"), "there is no rule x that alerts (there are some-rule, too-loud)"),
        (("'http://a:1'",), ("mute", "tags-only"), "tags-only is a rule that alerts nobody"),
        (("'http://a:1'",), ("mute", "too-loud", "--group", "prod"), "--group prod: write it as KEY=VALUE"),
        (("'http://a:1'",), ("mute", "too-loud", "--group", "model=a"), "its groups have environment"),
        (("{url: 'http://a:1', token_env: TS_NONE}",), ("test",), "TS_NONE is not set"),
    ],
)
def test_what_cannot_work_is_the_users_mistake(
    tmp_path: Path, instances: tuple[str, ...], arguments: tuple[str, ...], problem: str
) -> None:
    done = alerts(config(tmp_path, *instances), *arguments)
    assert getattr(done.exception, "exit_code", None) == 2
    assert problem in str(done.exception)
