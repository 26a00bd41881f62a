"""Logins: what the config names and the environment does not have is named before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from sinks.credentials import secret
from tracesieve.cli import cli
from tracesieve.config.loading import load_settings, missing
from tracesieve.errors import ConfigError

CONFIG = """source: {kind: delta_traces, table: traces}
store: st
metrics: {username: prom, password_env: TS_METRICS_PASSWORD, tls_cert: no-such-cert.pem}
alerts:
  alertmanager:
    - http://127.0.0.1:9093
    - url: https://127.0.0.1:9094
      token_env: TS_TOKEN
"""


def test_every_secret_that_is_unset_and_file_that_is_missing_is_named_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(CONFIG)
    monkeypatch.setenv("TS_METRICS_PASSWORD", " \n")
    found = [str(one).removeprefix(f"{config}:") for one in missing(load_settings(config))]
    assert found == [
        "3: metrics.password_env: the environment variable TS_METRICS_PASSWORD is not set",
        f"3: metrics.tls_cert: {tmp_path / 'no-such-cert.pem'} does not exist",
        "8: alerts.alertmanager.1.token_env: the environment variable TS_TOKEN is not set",
    ]
    with pytest.raises(ConfigError) as refused:
        CliRunner().invoke(cli, ["run", "-c", str(config)], catch_exceptions=False, standalone_mode=False)
    assert refused.value.exit_code == 2
    assert str(refused.value).count("\n") == 2
    assert not (tmp_path / "st").exists()


def test_a_secret_comes_without_the_line_end_of_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TS_TOKEN", "s3cret\n")
    assert (secret("TS_TOKEN"), secret("TS_NONE"), secret(None)) == ("s3cret", "", "")


@pytest.mark.parametrize(
    ("login", "problem"),
    [
        ("{url: 'http://a:1', username: x}", "go together"),
        ("{url: 'http://a:1', username: x, password_env: P, token_env: T}", "either"),
        ("{url: 'a:1'}", "write http://a:1"),
        ("{url: 'http://a:1', password: x}", "unknown key"),
    ],
)
def test_a_login_that_cannot_work_is_a_mistake_of_the_file(tmp_path: Path, login: str, problem: str) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(f"source: {{kind: delta_traces, table: traces}}\nalerts: {{alertmanager: [{login}]}}\n")
    with pytest.raises(ConfigError, match=problem):
        load_settings(config)
