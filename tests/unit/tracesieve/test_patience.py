"""Every command against a server that fails, hangs or is not there: a bounded time, and the reason."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from deltalake import write_deltalake
from support.failing_servers import FAILING

import sinks.undo
from sinks import registry
from sinks.drain import drain
from store import open_store
from store.outbox import Outbox, OutboxMessage
from store.schemas import TRACES
from tracesieve.cli import cli
from tracesieve.config.loading import load_settings
from tracesieve.config.sink_context import sink_context
from tracesieve.patience import USUAL, bound_clients, of_command

PREFIX = "MLFLOW_HTTP_REQUEST_"
BOUND_S = 15  # with calls of one second; without a bound each of these takes minutes or hours
WHY = {"error": "500", "wait": "503", "silence": "timed out", "nobody": "refused"}


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a process that has set nothing."""
    for name in ("TIMEOUT", "MAX_RETRIES", "BACKOFF_FACTOR"):
        monkeypatch.delenv(PREFIX + name, raising=False)
    monkeypatch.delenv("MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER", raising=False)
    monkeypatch.delenv("MLFLOW_DATABRICKS_ENDPOINT_HTTP_RETRY_TIMEOUT", raising=False)


def _set() -> tuple[str | None, ...]:
    return tuple(os.environ.get(PREFIX + name) for name in ("TIMEOUT", "MAX_RETRIES"))


@pytest.mark.parametrize(
    ("command", "found"),
    [("run", ("30", "1")), ("undo", ("30", "1")), ("doctor", ("5", "0")), ("init", ("10", "0"))],
)
def test_a_process_sets_its_patience_before_any_client_is_made(
    fresh: None, command: str, found: tuple[str, str], tmp_path: Path
) -> None:
    CliRunner().invoke(cli, [command, "-c", str(tmp_path / "none.yaml")])
    assert _set() == found
    assert os.environ["MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER"] == "false"


def test_what_the_user_has_set_stands(fresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PREFIX + "TIMEOUT", "300")
    bound_clients(of_command("doctor"))
    assert _set() == ("300", "0")
    assert USUAL.most_s == 60


@pytest.fixture(params=list(FAILING))
def failing(
    request: pytest.FixtureRequest, fresh: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, str]]:
    """The address of a failing server, and what is said of it; calls wait for a second."""
    monkeypatch.setenv(PREFIX + "TIMEOUT", "1")
    monkeypatch.setattr("sinks.http.client.TIMEOUT_S", 1.0)
    if request.param != "wait":
        monkeypatch.setenv(PREFIX + "MAX_RETRIES", "0")
    with FAILING[request.param]() as uri:
        yield uri, WHY[request.param]


def _config(folder: Path, uri: str, text: str) -> str:
    rows = pa.Table.from_pylist([{"trace_id": "t", "request_time": 1}], TRACES)
    write_deltalake(str(folder / "traces"), rows)
    config = folder / "tracesieve.yaml"
    config.write_text(text.replace("URI", uri))
    return str(config)


DELTA = "source: {kind: delta_traces, table: traces}\nstore: st\n"
MLFLOW = "source: {kind: mlflow, tracking_uri: 'URI', experiments: [a]}\nstore: st\n"
ALERTS = DELTA + "alerts: {alertmanager: ['URI']}\n"
COMMANDS = {
    "doctor": (MLFLOW + "mlflow: {tracking_uri: 'URI'}\nalerts: {alertmanager: ['URI']}\n", ["doctor"]),
    "run": (MLFLOW, ["run", "--once"]),
    "test": (ALERTS, ["alerts", "test"]),
    "mute": (ALERTS, ["alerts", "mute", "error-rate-high"]),
}


def _timed(work: Callable[[], Result]) -> tuple[Result, str]:
    begun = time.monotonic()
    done = work()
    assert time.monotonic() - begun < BOUND_S
    return done, (done.output + str(done.exception)).lower()


@pytest.mark.parametrize("command", list(COMMANDS))
def test_a_command_ends_in_time_and_says_why(command: str, failing: tuple[str, str], tmp_path: Path) -> None:
    uri, why = failing
    text, arguments = COMMANDS[command]
    config = _config(tmp_path, uri, text)
    done, said = _timed(lambda: CliRunner().invoke(cli, [*arguments, "-c", config]))
    assert done.exit_code != 0
    assert why in said, said


def test_init_ends_in_time_and_says_why(failing: tuple[str, str], tmp_path: Path) -> None:
    uri, why = failing
    config = str(tmp_path / "new.yaml")
    done, said = _timed(lambda: CliRunner().invoke(cli, ["init", "--tracking-uri", uri, "-c", config]))
    assert done.exit_code != 0
    assert why in said, said


MESSAGES = [
    OutboxMessage("mlflow_tags", "t", {"trace_id": "t", "category": "a", "rules": ["r"]}),
    OutboxMessage(
        "mlflow_datasets",
        "t",
        {
            "trace_id": "t",
            "start_us": 1,
            "end_us": 2,
            "experiment_id": "1",
            "categories": {"a": {"rules": []}},
        },
    ),
]


def test_undo_ends_in_time_and_says_why(
    failing: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri, why = failing
    config = _config(tmp_path, uri, DELTA + "mlflow: {tracking_uri: 'URI'}\n")
    outbox = Outbox(open_store(str(tmp_path / "st")))
    outbox.enqueue(MESSAGES, 1)
    monkeypatch.setattr(sinks.undo, "IDLE_S", 3.0)
    done, said = _timed(lambda: CliRunner().invoke(cli, ["undo", "-c", config]))
    assert done.exit_code != 0
    assert why in said, said


@pytest.mark.parametrize("names", [["mlflow_datasets"], ["mlflow_tags", "mlflow_datasets"]])
def test_a_run_delivers_no_longer_than_it_may_whichever_sinks_it_has(
    names: list[str], failing: tuple[str, str], tmp_path: Path
) -> None:
    uri, why = failing
    settings = load_settings(_config(tmp_path, uri, DELTA + "mlflow: {tracking_uri: 'URI'}\n"))
    store = open_store(str(tmp_path / "st"))
    outbox = Outbox(store)
    outbox.enqueue([one for one in MESSAGES if one.sink in names], 1)
    bound_clients()
    opened = registry.deliveries(names, sink_context(settings, store), outbox)
    begun = time.monotonic()
    assert drain(opened, outbox, lambda: 2, 2.5) == len(names)
    assert time.monotonic() - begun < 6
    assert all(why in one.reason for one in opened), [one.reason for one in opened]
