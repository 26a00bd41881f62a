"""The demo's monitor: ``tracesieve run``, with Spark started while the MLflow server is still coming up."""

from __future__ import annotations

import sys
import threading
from contextlib import suppress
from urllib.parse import quote

from tracesieve.demo import EXPERIMENT
from tracesieve.demo.stage import answers, wait_until


def main() -> None:
    """``monitor URI CONFIG``: start Spark, wait for the experiment, then be ``tracesieve run -c CONFIG``."""
    uri, config = sys.argv[1:]
    threading.Thread(target=_warm, daemon=True).start()
    from tracesieve.cli import main as run

    wait_until(
        lambda: answers(f"{uri}/api/2.0/mlflow/experiments/get-by-name?experiment_name={quote(EXPERIMENT)}")
    )
    sys.argv = ["tracesieve", "run", "-c", config]
    run()


def _warm() -> None:
    from streams.session.spark import SparkConfig, session

    with suppress(Exception):  # the run starts the session again and says what is wrong
        session(SparkConfig())


if __name__ == "__main__":
    main()
