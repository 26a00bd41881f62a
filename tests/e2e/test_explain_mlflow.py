"""``tracesieve explain`` of traces that a real MLflow server has and the run has not read."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from mlflow import MlflowClient
from support.mlflow_traces import copy_traces, log_trace
from support.servers import MlflowServer, free_port

from rules.units import HOUR_US, MINUTE_US, SECOND_US
from store import Store, open_store
from streams.sources.landed import LandingRow, LandingTables
from tracesieve.cli import cli

pytestmark = pytest.mark.e2e


@pytest.fixture
def place(tmp_path: Path, mlflow_server: MlflowServer, experiment: tuple[str, str]) -> Path:
    """The folder of a config whose run has read the last hour, and lands nothing here."""
    (tmp_path / "c.yaml").write_text(
        f"source: {{kind: mlflow, tracking_uri: '{mlflow_server.uri}', experiments: [{experiment[1]}], "
        "start: -1h}\nstore: st\n"
    )
    store: Store = open_store(str(tmp_path / "st"))
    now_us = time.time_ns() // 1000
    for kind in ("slice", "reconcile"):
        read = LandingRow(experiment[0], kind, now_us - HOUR_US, now_us - 10 * SECOND_US, now_us)
        LandingTables(store).record(read)
    return tmp_path


def explain(place: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["explain", "-c", str(place / "c.yaml"), *arguments])


def explained(place: Path, text: str) -> dict[str, Any]:
    done = explain(place, text, "--json")
    assert done.exit_code == 0, done.exception
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_what_the_server_has_and_no_run_read_is_answered_with_why(
    place: Path, mlflow_server: MlflowServer, experiment: tuple[str, str]
) -> None:
    now_us = time.time_ns() // 1000
    new = log_trace(mlflow_server, experiment[0], now_us, spans=[("TOOL", True, "x")])
    (old,) = copy_traces(mlflow_server, new, [now_us - 3 * HOUR_US])
    (unfinished,) = copy_traces(mlflow_server, new, [now_us - MINUTE_US], state="IN_PROGRESS")
    other = MlflowClient(mlflow_server.uri).create_experiment(f"{experiment[1]}-other")
    elsewhere = log_trace(mlflow_server, other, now_us)
    found = {name: explained(place, trace) for name, trace in locals().items() if name in WORDS}
    for name, (state, words) in WORDS.items():
        assert (found[name]["state"], words in found[name]["why"]) == (state, True), found[name]["why"]
        assert found[name]["counted"] is None
        shown = explain(place, found[name]["trace_id"]).output.splitlines()
        assert all(len(line) <= 80 for line in shown), shown
    rules = {one["rule"]: one for one in found["new"]["rules"]}
    (span,) = rules["tool-errors"]["spans"]  # its spans are read from the server too
    assert (rules["tool-errors"]["matched"], span["name"], span["type"]) == (True, "tool", "TOOL")
    assert found["new"]["trace_id"] == explained(place, new[:-4])["trace_id"]
    common = explain(place, "tr-")
    assert getattr(common.exception, "exit_code", None) == 2
    assert new in str(common.exception) and elsewhere not in str(common.exception)


WORDS = {
    "new": ("not_read", "the run has not read it yet: counted is what ended up to"),
    "old": ("before_start", "by source.start (-1h) the run reads what ended after"),
    "unfinished": ("in_progress", "it is counted once it has ended"),
    "elsewhere": ("not_watched", "source.experiments has"),
}


def test_what_nobody_has_is_said_and_a_server_that_is_down_too(place: Path) -> None:
    assert getattr(explain(place, "tr-0123456789").exception, "exit_code", None) == 1
    file = place / "c.yaml"
    down = f"http://127.0.0.1:{free_port()}"
    text = file.read_text()
    file.write_text(text.replace(text.partition("tracking_uri: '")[2].partition("'")[0], down))
    done = explain(place, "tr-0123456789")
    assert getattr(done.exception, "exit_code", None) == 3
    assert down in str(done.exception)
