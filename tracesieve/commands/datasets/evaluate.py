"""``tracesieve datasets evaluate``: judge the answers of a version, and say whether the gate lets it
through; starts no Java.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import click

from tracesieve.errors import OutsideError
from tracesieve.json_output import echo_json


@click.command("evaluate")
@click.argument("name", metavar="NAME[@VERSION]")
@click.option("-c", "config", default="tracesieve.yaml", show_default=True, help="the config file")
@click.option(
    "--predict", metavar="MODULE:FUNCTION", help="ask this function anew, instead of judging stored answers"
)
@click.option("--experiment", help="keep the run in this experiment of MLflow, made if there is none")
@click.option("--against", metavar="EVALUATION", help="compare with this one, not with the last that passed")
@click.option("--fresh", is_flag=True, help="ask judges again, also what they have answered before")
@click.option("--junit", type=click.Path(dir_okay=False), help="write JUnit XML to this file")
@click.option("--markdown", type=click.Path(dir_okay=False), help="write Markdown for a pull request")
@click.option("--json", "as_json", is_flag=True, help="one JSON document on stdout")
def command(
    name: str,
    config: str,
    predict: str | None,
    experiment: str | None,
    against: str | None,
    fresh: bool,
    junit: str | None,
    markdown: str | None,
    as_json: bool,
) -> None:
    """Judge the answers of a version of a dataset with the scorers of the config (`evaluation:`).

    Exit code 0: the gate lets it through; 1: it does not, and the reasons are said; 2: a mistake in the
    config or the options; 3: the server or the judge cannot be reached.
    """
    from store import open_store
    from tracesieve.config.loading import load_settings
    from tracesieve.evaluation import document
    from tracesieve.evaluation.evaluate import Wanted, evaluate
    from tracesieve.log import set_up_logging
    from tracesieve.run.progress import Progress

    settings = load_settings(config)
    set_up_logging(settings.log.level, settings.log.format)
    store = open_store(settings.store_path, create=False)
    wanted = Wanted(name, predict, experiment, against, fresh)
    with Progress() as shown:
        found = evaluate(settings, store, wanted, time.time_ns() // 1000, shown.stage)
    if junit is not None:
        from tracesieve.evaluation.junit import junit as as_junit

        _write(junit, as_junit(found))
    if markdown is not None:
        from tracesieve.evaluation.markdown import markdown as as_markdown

        _write(markdown, as_markdown(found).encode())
    if as_json:
        echo_json(document.as_json(found))
    else:
        click.echo("\n".join(document.lines(found)))
    sys.exit(0 if found.verdict.passed else 1)


def _write(place: str, content: bytes) -> None:
    """Write a file whole or not at all: CI reads what is there, whatever became of us.

    Raises:
        OutsideError: it cannot be written.
    """
    target = Path(place)
    try:
        number, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        with os.fdopen(number, "wb") as file:
            file.write(content)
        Path(name).chmod(0o644)
        Path(name).replace(target)
    except OSError as error:
        raise OutsideError(f"{place} cannot be written: {error.strerror}") from error
