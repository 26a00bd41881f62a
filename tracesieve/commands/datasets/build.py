"""``tracesieve datasets build``: write the records that are due, then take a version of each dataset."""

from __future__ import annotations

from typing import Any

import click

from tracesieve.json_output import echo_json
from tracesieve.terminal import table


@click.command("build")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("-c", "config", default="tracesieve.yaml", show_default=True, help="the config file")
@click.option("--json", "as_json", is_flag=True, help="one JSON document on stdout")
def command(names: tuple[str, ...], config: str, as_json: bool) -> None:
    """Write the records that follow from what is counted, then take a version of each dataset that changed.

    A run that goes on does it when asked; without one it is done here. It may be ended at any point and
    repeated. A run takes versions by itself, too: `run --once` at its end, `run` once an hour.
    """
    from tracesieve.config.loading import load_settings
    from tracesieve.log import set_up_logging

    settings = load_settings(config)
    level = "warning" if settings.log.level.lower() == "info" else settings.log.level
    set_up_logging(level, settings.log.format)
    # After the config is known to be right: this loads Spark and the clients of the sinks.
    from tracesieve.run.build import build

    document = build(settings, names, lambda line: click.echo(line, err=True))
    echo_json(document) if as_json else show(document)


def show(document: dict[str, Any]) -> None:
    """A table with a row for each dataset."""
    rows = [
        (
            row["name"],
            row["version"][:12],
            f"{row['records']:,}",
            f"+{row['added']:,} -{row['removed']:,} ~{row['changed']:,}" if row["new"] else "nothing new",
        )
        for row in document["datasets"]
    ]
    if not rows:
        click.echo("no datasets yet: they grow from the traces that rules match")
        return
    click.echo("\n".join(table(("dataset", "version", "records", "new"), rows, numbers=(2,))))
