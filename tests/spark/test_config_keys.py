"""Every key of the config does something in a run that goes on: none is there for show."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import requests
from support.command_line import write_table
from support.read_keys import keys_of, read_keys
from support.servers import free_port

from streams.sources.mlflow.source import MlflowSource
from tracesieve.config.evaluation import EvaluationConfig
from tracesieve.config.keys import model_parts
from tracesieve.config.loading import load_settings
from tracesieve.config.settings import OWN_FIELDS, LogConfig, settings_model
from tracesieve.run.live import run_live
from tracesieve.run.parts import Run, open_run, wall_us

pytestmark = pytest.mark.spark

# The log is set up by the command, before a run is opened; the MLflow source has a test with a real server;
# `once_every` is for a run that takes what is there and ends; `evaluation` is for `datasets evaluate`.
ELSEWHERE = keys_of([LogConfig, MlflowSource, *model_parts(EvaluationConfig)])
ELSEWHERE |= {("Settings", "log"), ("Settings", "evaluation"), ("AlertsConfig", "once_every")}


def written_config(folder: Path) -> Path:
    write_table(folder / "traces", 40)
    gone = f"http://127.0.0.1:{free_port()}"
    file = folder / "tracesieve.yaml"
    file.write_text(
        "source: {kind: delta_traces, table: traces}\nevaluate_after: 0s\n"
        "spark: {master: 'local[2]', memory: 1g}\n"
        f"mlflow: {{tracking_uri: '{gone}', assessments: true, issues: true}}\n"
        f"alerts: {{alertmanager: ['{gone}']}}\n"
        f"metrics: {{listen: '127.0.0.1:{free_port()}'}}\n"
        "datasets: {sets: {error_case: {quotas: {total: 5}, keep: [duration], experiment: here},"
        " errors: {categories: [error_case], expectations: {guidelines: [short]}},"
        " long: {where: execution_time_ms > 1}}}\n"
    )
    return file


def stop_once_delivering(run: Run) -> None:
    """Ask for the metrics, and end the run when it has tried to deliver to every sink of the config."""
    wanted = {one.sink.name for one in run.deliveries if one.sink.outside}
    try:
        for _ in range(600):
            tried = run.store.table("deliveries").read(["sink"], pl.col("outcome") == "retry")["sink"]
            if wanted <= set(tried):
                break
            run.stop.wait(0.5)
        assert run.settings.metrics is not None
        requests.get(f"{run.settings.metrics.url}/metrics", timeout=10)
    finally:
        run.stop.set()


def test_every_key_is_read_by_a_run_that_goes_on(spark: Any, tmp_path: Path) -> None:
    settings = load_settings(written_config(tmp_path))
    with read_keys() as read, ExitStack() as stack:
        run = open_run(
            settings, stack, dry_run=False, rebuild=False, now_us=wall_us(), stop=threading.Event()
        )
        with ThreadPoolExecutor(1) as other:
            stopping = other.submit(stop_once_delivering, run)
            run_live(run)
            stopping.result()
    every = keys_of(model_parts(settings_model()))
    assert {f"{model}.{name}" for model, name in every - read - ELSEWHERE if name not in OWN_FIELDS} == set()
