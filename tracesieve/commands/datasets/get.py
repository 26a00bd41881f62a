"""``tracesieve datasets get``: write a version to a file; asks no server, starts no Java."""

from __future__ import annotations

from pathlib import Path

import click

from tracesieve.errors import TracesieveError
from tracesieve.terminal import number


@click.command("get")
@click.argument("name", metavar="NAME[@VERSION]")
@click.option("-c", "config", default="tracesieve.yaml", show_default=True, help="the config file")
@click.option("--version", "wanted", metavar="VERSION", help="the same as NAME@VERSION  [default: latest]")
@click.option(
    "--to", required=True, metavar="FILE", help="FILE.jsonl or FILE.parquet; - for JSON lines on stdout"
)
def command(name: str, config: str, wanted: str | None, to: str) -> None:
    """Write a version to a file: JSON lines, which hold the records exactly, or Parquet."""
    from store import open_store
    from tracesieve.config.loading import load_settings
    from tracesieve.datasets.export import lines, write
    from tracesieve.datasets.versions import found, short, split_name

    dataset, version = split_name(name)
    if wanted is not None and "@" in name:
        raise TracesieveError(f"--version: not beside {name}, which names one")
    store = open_store(load_settings(config).store_path, create=False)
    chosen = found(store, dataset, wanted or version)
    if to == "-":
        for line in lines(store, chosen):
            click.echo(line, nl=False)
        return
    write(store, chosen, Path(to))
    click.echo(f"{number(chosen.records, 'record')} of {dataset}@{short(chosen)} in {to}", err=True)
