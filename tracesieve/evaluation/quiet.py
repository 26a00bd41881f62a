"""MLflow's client as a part of a command: its logs, bars, hints and the git that it looks for are kept out of
sight, and stdout stays the command's own.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator, Mapping

_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    # Traces must be there when they are read back, a moment later (mlflow#24355).
    "MLFLOW_ENABLE_ASYNC_TRACE_LOGGING": "false",
    # One call of the application a record: MLflow would call it once more, to see whether it makes traces.
    "MLFLOW_GENAI_EVAL_SKIP_TRACE_VALIDATION": "true",
    "MLFLOW_GENAI_EVAL_ENABLE_SCORER_TRACING": "false",
    "MLFLOW_GENAI_EVAL_MAX_RETRIES": "0",  # retries are ours: they know what kind of failure it was
    "MLFLOW_GENAI_EVAL_PREDICT_RATE_LIMIT": "0",
    "MLFLOW_DISABLE_AGENT_HINT": "1",
}


@contextlib.contextmanager
def quiet_mlflow(workers: int) -> Iterator[None]:
    """While it is open, MLflow says nothing and evaluates with ``workers`` threads; what code of the user's
    prints goes to stderr.
    """
    with _environment({**_ENVIRONMENT, "MLFLOW_GENAI_EVAL_MAX_WORKERS": str(workers)}):
        from mlflow.genai.evaluation import base, harness

        bar, summary = harness.tqdm, base.display_evaluation_output
        loggers = [logging.getLogger(name) for name in ("mlflow", "git", "urllib3.connectionpool")]
        levels = [one.level for one in loggers]
        harness.tqdm, base.display_evaluation_output = None, lambda run_id: None
        for one in loggers:
            one.setLevel(logging.CRITICAL)
        try:
            with contextlib.redirect_stdout(sys.stderr):
                yield
        finally:
            harness.tqdm, base.display_evaluation_output = bar, summary
            for one, level in zip(loggers, levels, strict=True):
                one.setLevel(level)


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
