"""``tracesieve datasets list``: the datasets and their last versions; asks no server, starts no Java."""

from __future__ import annotations

from typing import Any

import click

from tracesieve.json_output import echo_json
from tracesieve.terminal import table, wrapped


@click.command("list")
@click.option("-c", "config", default="tracesieve.yaml", show_default=True, help="the config file")
@click.option("--json", "as_json", is_flag=True, help="one JSON document on stdout")
def command(config: str, as_json: bool) -> None:
    """The datasets and their last versions."""
    from store import open_store
    from tracesieve.config.loading import load_settings
    from tracesieve.datasets.listing import listed

    rows = listed(open_store(load_settings(config).store_path, create=False))
    if as_json:
        echo_json({"datasets": rows})
        return
    if not rows:
        click.echo("no datasets yet: they grow from the traces that rules match")
        return
    click.echo(
        "\n".join(
            table(("dataset", "version", "records", "sources", "taken (UTC)"), _cells(rows), numbers=(2, 3))
        )
    )
    if any(row["version"] is None for row in rows):
        click.echo(wrapped("without a version: `tracesieve datasets build` takes one"))


def _cells(rows: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    names = [row["name"] for row in rows]
    return [
        (
            row["name"] if names.count(row["name"]) == 1 else f"{row['experiment']}/{row['name']}",
            (row["version"] or "-")[:12],
            f"{row['records']:,}",
            f"{row['sources']:,}",
            "-" if row["taken"] is None else _minute(row["taken"]),
        )
        for row in rows
    ]


def _minute(time: str) -> str:
    """A time of a document to the minute."""
    return time[:16].replace("T", " ")
