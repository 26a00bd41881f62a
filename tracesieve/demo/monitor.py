"""The demo's monitor: ``tracesieve run``, with Spark started while the MLflow server is still coming up."""

from __future__ import annotations

import sys
import threading
from contextlib import suppress
from urllib.parse import quote

from tracesieve.demo import EXPERIMENT
from tracesieve.demo.stage import answers, wait_until


def main() -> None:
    """``monitor URI CONFIG``: start Spark, wait for the experiment, then be ``tracesieve run``."""
    uri, config = sys.argv[1:]
    threading.Thread(target=_warm_up, daemon=True).start()
    # Loaded while Spark starts.
    from tracesieve.config.loading import load_settings
    from tracesieve.exits import exit_on_error
    from tracesieve.log import set_up_logging
    from tracesieve.patience import bound_clients
    from tracesieve.run.entry import watch

    def run() -> None:
        bound_clients()
        settings = load_settings(config)
        set_up_logging(settings.log.level, settings.log.format)
        watch(settings)

    wait_until(
        lambda: answers(f"{uri}/api/2.0/mlflow/experiments/get-by-name?experiment_name={quote(EXPERIMENT)}")
    )
    exit_on_error(run)


def _warm_up() -> None:
    from streams.session.config import SparkConfig
    from streams.session.spark import session

    with suppress(Exception):  # the run starts the session again and says what is wrong
        session(SparkConfig())


if __name__ == "__main__":
    main()
