"""``tracesieve init`` against a real MLflow server: what it lists, what it chooses, and that its config
runs.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.command_line import SPARK, tracesieve
from support.servers import MlflowServer

pytestmark = pytest.mark.e2e


def test_the_servers_experiments_with_their_traces_and_a_config_that_runs(
    mlflow_server: MlflowServer, experiment: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    number, name = experiment
    mlflow.set_tracking_uri(mlflow_server.uri)
    mlflow.set_experiment(experiment_id=number)
    for index in range(3):
        with mlflow.start_span(f"step-{index}"):
            pass
    config = tmp_path / "tracesieve.yaml"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.uri)
    by_default = json.loads(tracesieve("init", "-c", str(config), "--json").stdout)
    assert {"id": number, "name": name, "traces": 3, "chosen": True} in by_default["experiments"]
    assert all(one["chosen"] == bool(one["traces"]) for one in by_default["experiments"])
    unknown = tracesieve("init", "-c", str(config), "--force", "--experiment", "nosuch")
    assert unknown.returncode == 2
    assert name in unknown.stderr
    done = tracesieve("init", "-c", str(config), "--force", "--experiment", number)
    assert done.returncode == 0, done.stderr
    following = done.stdout.partition("next:\n")[2].splitlines()
    assert [line.split()[1] for line in following] == ["doctor", "run", "run"]
    assert all(f"-c {config}" in line for line in following)
    with config.open("a") as file:
        file.write(SPARK)
    run = tracesieve("run", "--once", "--dry-run", "-c", str(config), "--json")
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["traces"] == 3
    for line in run.stderr.splitlines():
        assert " tracesieve." in line or " streams." in line, f"a line that is not ours: {line}"
