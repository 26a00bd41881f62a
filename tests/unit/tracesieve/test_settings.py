"""The config: every mistake at once, each with its line or its environment variable."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracesieve.config.loading import load_settings
from tracesieve.errors import ConfigError

GOOD = "source: {kind: delta_traces, table: traces}\n"


def problems(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_settings(path)
    return str(caught.value).replace(f"{path}:", "").splitlines()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "tracesieve.yaml"
    file.write_text(GOOD)
    return file


def test_every_mistake_is_said_at_once_with_its_line_and_mend(config: Path) -> None:
    config.write_text(
        "sorce: 1\nsource: {kind: mlflow, experiment: [a]}\nlog:\n  level: loud\nalerts:\n  alertmanager: "
        "[{url: 5, x: 1}]\n"
    )
    assert problems(config) == [
        "1: sorce: unknown key (did you mean `source`?)",
        "2: source.tracking_uri: is required",
        "2: source.experiments: is required",
        "2: source.experiment: unknown key (did you mean `experiments`?)",
        "6: alerts.alertmanager.0.url: a text is expected, not 5 (quote it: '5')",
        "6: alerts.alertmanager.0.x: unknown key (`tracesieve init` writes a config with every key)",
        "4: log.level: one of 'debug', 'info', 'warning' or 'error' is expected, not 'loud'",
    ]


def test_a_variable_wins_over_the_file_and_a_wrong_one_is_named(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACESIEVE_LOG__LEVEL", "debug")
    monkeypatch.setenv("TRACESIEVE_SOURCE__TABLE", "other")
    settings = load_settings(config)
    assert (settings.log.level, settings.source.table) == ("debug", "other")  # type: ignore[union-attr]
    monkeypatch.setenv("TRACESIEVE_LOG__LEVEL", "loud")
    monkeypatch.setenv("TRACESIEVE_EVALUATE_AFTER", "soon")
    monkeypatch.setenv("TRACESIEVE_SOURCE__TABEL", "t")
    assert sorted(problems(config)) == [
        "TRACESIEVE_EVALUATE_AFTER: 'soon' is no duration: write seconds, or 30s, 5m, 24h, 7d",
        "TRACESIEVE_LOG__LEVEL: one of 'debug', 'info', 'warning' or 'error' is expected, not 'loud'",
        "TRACESIEVE_SOURCE__TABEL: unknown key (did you mean `TRACESIEVE_SOURCE__TABLE`?)",
    ]


MLFLOW = "source: {kind: mlflow, tracking_uri: 'http://x', experiments: [a]}\n"


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("settle: 5s", "did you mean `source.settle`?"),
        ("memory: 2g", "did you mean `spark.memory`?"),
        ("tracking_uri: 'http://x'", "did you mean `source.tracking_uri` or `mlflow.tracking_uri`?"),
    ],
)
def test_sem_12_a_key_of_another_part_is_refused_with_its_right_place(
    config: Path, line: str, hint: str
) -> None:
    config.write_text(f"{MLFLOW}{line}\n")
    assert problems(config) == [f"2: {line.partition(':')[0]}: unknown key ({hint})"]


def test_a_variable_without_its_part_is_refused_with_the_right_one(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text(MLFLOW)
    monkeypatch.setenv("TRACESIEVE_SETTLE", "5s")
    assert problems(config) == ["TRACESIEVE_SETTLE: sets no key (did you mean `TRACESIEVE_SOURCE__SETTLE`?)"]


def test_a_variable_that_nearly_names_a_key_is_a_mistake_and_a_secret_is_not(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACESIEVE_ALERTMANAGER_PASSWORD", "x")
    load_settings(config)
    monkeypatch.setenv("TRACESIEVE_STOER", "/data")
    assert problems(config) == ["TRACESIEVE_STOER: sets no key (did you mean `TRACESIEVE_STORE`?)"]


def test_files_are_named_from_the_folder_of_the_config(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text(
        "source: {kind: delta_traces, table: traces}\nmetrics: {tls_cert: tls/own.pem, tls_key: "
        "/etc/own.key}\n"
        "alerts: {alertmanager: ['http://a:9093', {url: 'https://b:9093', ca_file: tls/ca.pem}]}\n"
    )
    monkeypatch.chdir("/")
    settings = load_settings(config)
    assert settings.metrics is not None
    assert (settings.metrics.tls_cert, settings.metrics.tls_key) == (
        str(config.parent / "tls/own.pem"),
        "/etc/own.key",
    )
    assert [one.ca_file for one in settings.alerts.alertmanager] == [None, str(config.parent / "tls/ca.pem")]


@pytest.mark.parametrize(
    ("variable", "wanted"),
    [
        ("TRACESIEVE_RULES", """a list is expected, not 'packs' (as JSON, such as '["a", "b"]')"""),
        (
            "TRACESIEVE_ALERTS__ALERTMANAGER",
            """a list is expected, not 'packs' (as JSON, such as '["a", "b"]')""",
        ),
        ("Tracesieve_Spark__Conf", """a mapping is expected, not 'packs' (as JSON, such as '{"a": 1}')"""),
    ],
)
def test_a_variable_that_should_hold_json_is_named_with_all_else_that_is_wrong(
    variable: str, wanted: str, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text(f"{GOOD}log: {{level: 3}}\n")
    monkeypatch.setenv(variable, "packs")
    assert f"{variable}: {wanted}" in problems(config) and len(problems(config)) == 2


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("TRACESIEVE_LOG_LEVEL", "TRACESIEVE_LOG__LEVEL"),
        ("TRACESIEVE__LOG__LEVEL", "TRACESIEVE_LOG__LEVEL"),
        ("tracesieve_log_level", "TRACESIEVE_LOG__LEVEL"),
        ("TRACESIEVE_LOGS__LEVEL", "TRACESIEVE_LOG__LEVEL"),
        ("TRACESIEVE_METRICS_LISTEN", "TRACESIEVE_METRICS__LISTEN"),
        ("TRACESIEVE_SOURCE_TABLE", "TRACESIEVE_SOURCE__TABLE"),
        ("TRACESIEVE_EVALUATE__AFTER", "TRACESIEVE_EVALUATE_AFTER"),
        ("TRACESIEVE_DEDUP_HORIZON", "TRACESIEVE_DEDUPE_HORIZON"),
        ("TRACESIEVE_METRICS_PASSWORD_ENV", "TRACESIEVE_METRICS__PASSWORD_ENV"),
    ],
)
def test_a_variable_without_the_right_form_is_refused(
    variable: str, meant: str, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "5s")
    assert problems(config) == [f"{variable}: sets no key (did you mean `{meant}`?)"]


def test_all_variables_that_are_wrong_are_named_at_once(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TRACESIEVE_LOG_LEVEL", "TRACESIEVE_STOER", "TRACESIEVE_LOG__LEVLE", "TRACESIEVE_STORE__X"):
        monkeypatch.setenv(name, "debug")
    assert problems(config) == [
        "TRACESIEVE_LOG_LEVEL: sets no key (did you mean `TRACESIEVE_LOG__LEVEL`?)",
        "TRACESIEVE_STOER: sets no key (did you mean `TRACESIEVE_STORE`?)",
        "TRACESIEVE_STORE__X: sets no key (did you mean `TRACESIEVE_STORE`?)",
        "TRACESIEVE_LOG__LEVLE: unknown key (did you mean `TRACESIEVE_LOG__LEVEL`?)",
    ]


def test_variables_that_hold_secrets_may_have_any_name(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TRACESIEVE_METRICS_PASSWORD", "TRACESIEVE_ALERTS_TOKEN", "TRACESIEVE_STORES"):
        monkeypatch.setenv(name, "x")
    config.write_text(f"{GOOD}metrics: {{username: a, password_env: TRACESIEVE_STORES}}\n")
    load_settings(config)


def test_a_key_that_is_given_twice_is_an_error(config: Path) -> None:
    config.write_text(f"{GOOD}log:\n  level: info\n  level: debug\nstore: a\nstore: b\n")
    assert problems(config) == [
        "4: log.level: is given twice (remove one)",
        "6: store: is given twice (remove one)",
    ]


@pytest.mark.parametrize(
    ("text", "begins"),
    [("a: [", "1: -: YAML: "), ("", "1: -: is not a mapping"), ("[]", "1: -: is not a map")],
)
def test_what_is_not_a_mapping_is_said(config: Path, text: str, begins: str) -> None:
    config.write_text(text)
    assert problems(config)[0].startswith(begins)


def test_a_missing_file_names_the_way_out(tmp_path: Path) -> None:
    assert "tracesieve init" in problems(tmp_path / "none.yaml")[0]
