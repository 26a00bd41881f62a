"""What the program asks of all sinks at once, also of one that a test adds to the registry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.servers import free_port
from support.toy_sink import ToySink
from support.web_hook import web_hook

from sinks import registry
from sinks.base import MessageKind, SinkContext, sample_alerts
from store import Store, open_store
from store.content import TraceTable
from store.outbox import Outbox, OutboxMessage
from tracesieve.config.loading import load_settings
from tracesieve.config.settings import Settings, settings_model
from tracesieve.errors import ConfigError

SERVER = "mlflow: {tracking_uri: 'http://a:1'}\n"


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.SINKS, "toy", ToySink)


def settings(folder: Path, text: str = "") -> Settings:
    config = folder / "c.yaml"
    config.write_text(f"source: {{kind: delta_traces, table: traces}}\n{text}")
    return load_settings(config)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ["alert_log"]),
        ("alerts: {alertmanager: ['http://a:1']}\n", ["alert_log", "alertmanager"]),
        (SERVER, ["alert_log", "mlflow_tags", "mlflow_datasets"]),
        (SERVER + "datasets: false\n", ["alert_log", "mlflow_tags"]),
        ("mlflow: {tracking_uri: 'http://a:1', tags: false}\n", ["alert_log", "mlflow_datasets"]),
        (
            "mlflow: {tracking_uri: 'http://a:1', assessments: true, issues: true}\n",
            ["alert_log", "mlflow_tags", "mlflow_assessments", "mlflow_issues", "mlflow_datasets"],
        ),
    ],
)
def test_the_config_asks_for_sinks_and_a_dry_run_for_the_log_alone(
    tmp_path: Path, text: str, names: list[str]
) -> None:
    config = settings(tmp_path, text).sinks
    assert registry.names(config) == names
    assert registry.names(config, dry_run=True) == ["alert_log"]
    assert registry.receivers(config) == [name for name in names if name == "alertmanager"]
    by_kind = {kind: registry.names(config, kind) for kind in MessageKind}
    assert sorted(name for found in by_kind.values() for name in found) == sorted(names)
    assert by_kind[MessageKind.NOTIFICATION] == ["alert_log"]


def test_a_message_of_a_sink_that_is_gone_is_no_withdrawal() -> None:
    assert registry.is_withdrawal("mlflow_tags", {"trace_id": "t", "category": None, "rules": []})
    assert not registry.is_withdrawal("mlflow_tags", {"trace_id": "t", "category": "a", "rules": []})
    assert registry.is_withdrawal("mlflow_datasets", {"trace_id": "t", "start_us": 1, "categories": {}})
    assert not registry.is_withdrawal("alertmanager", {})
    assert not registry.is_withdrawal("no_such_sink", {})


def test_a_sink_brings_its_key_and_its_mistakes_have_their_lines(tmp_path: Path, toy: None) -> None:
    assert settings(tmp_path).sinks["alerts.toy"] == []
    with pytest.raises(ConfigError) as wrong:
        settings(tmp_path, "alerts:\n  toy:\n    - {name: ops, urls: x}\n")
    assert str(wrong.value).replace(f"{tmp_path}/c.yaml:", "").splitlines() == [
        "4: alerts.toy.0.url: is required",
        "4: alerts.toy.0.urls: unknown key (`tracesieve init` writes a config with every key)",
    ]


def test_without_its_line_in_the_registry_the_key_is_unknown(tmp_path: Path) -> None:
    assert "toy" not in settings_model().model_fields["alerts"].annotation.model_fields  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match=r"alerts\.toy: unknown key"):
        settings(tmp_path, "alerts: {toy: []}\n")


def test_of_two_receivers_of_one_kind_one_that_is_down_delays_nothing_at_the_other(
    tmp_path: Path, toy: None
) -> None:
    with web_hook() as up:
        pagers = f"[{{name: a, url: 'http://127.0.0.1:{free_port()}/'}}, {{name: b, url: '{up.url}'}}]"
        config = settings(tmp_path, f"alerts: {{toy: {pagers}}}\n").sinks
        assert registry.names(config, MessageKind.ALERT) == registry.receivers(config) == ["toy/a", "toy/b"]
        assert registry.consumes("toy/a", MessageKind.ALERT)
        store = open_store(str(tmp_path / "st"))
        outbox = Outbox(store)
        enqueue(outbox, registry.names(config, MessageKind.ALERT))
        counted: list[Any] = []
        names, opened = registry.names(config), context(config, store)
        for delivery in registry.deliveries(names, opened, outbox, lambda *one: counted.append(one)):
            delivery.step(2)
        assert [(row["sink"], row["outcome"]) for row in outbox.rows()] == [("toy/a", "retry")]
        assert [body["rule"] for body in up.bodies] == ["tracesieve-test"]
        assert counted == [("toy/a", "retry", 1), ("toy/b", "delivered", 1)]


def enqueue(outbox: Outbox, sinks: list[str]) -> None:
    payload = sample_alerts("any", 10**15)[0].payload
    outbox.enqueue([OutboxMessage(sink, "r:1", payload) for sink in sinks], 1)


def context(config: Any, store: Store) -> SinkContext:
    return SinkContext(config, store, lambda: TraceTable(store.table("traces").uri))
