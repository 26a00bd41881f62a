"""``tracesieve datasets list``: the datasets and their last versions; asks no server, starts no Java."""

from __future__ import annotations

from typing import Any

import click

from tracesieve.json_output import echo_json
from tracesieve.terminal import table, wrapped

COVERS = (
    "covers: of the failures of the 30 days before the version was taken, how many have an error pattern "
    "that is in the set; after >, how much of the failures to come it covers at least (95% sure)"
)


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
    headings = ("dataset", "version", "records", "sources", "left out", "covers")
    click.echo("\n".join(table(headings, _cells(rows), numbers=range(2, 6))))
    if any(row["coverage"] is not None for row in rows):
        click.echo(wrapped(COVERS))
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
            f"{sum(row['left_out'].values()):,}",
            "-" if row["coverage"] is None else f"{row['coverage']:.0%} >{row['coverage_low']:.0%}",
        )
        for row in rows
    ]
