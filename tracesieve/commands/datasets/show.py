"""``tracesieve datasets show``: what a version holds; asks no server, starts no Java."""

from __future__ import annotations

import time
from typing import Any

import click

from rules.units import parse_time_us, readable_time
from tracesieve.commands.datasets.noted import lines
from tracesieve.json_output import echo_json
from tracesieve.terminal import fitted, number, plain, table, wrapped

_MOST_VALUES = 5
_MOST_VERSIONS = 5
_PEOPLE = {
    "added": "added by people",
    "outputs": "with an output that a person wrote",
    "expectations": "with expectations",
    "tags": "with tags of people",
}


@click.command("show")
@click.argument("name", metavar="NAME[@VERSION]")
@click.option("-c", "config", default="tracesieve.yaml", show_default=True, help="the config file")
@click.option("--json", "as_json", is_flag=True, help="one JSON document on stdout")
def command(name: str, config: str, as_json: bool) -> None:
    """What a version holds: records by rule, reason and other tags, what people did, former versions."""
    from store import open_store
    from tracesieve.config.loading import load_settings
    from tracesieve.datasets.listing import described
    from tracesieve.datasets.sets import DatasetSets
    from tracesieve.datasets.versions import found, split_name

    settings = load_settings(config)
    store = open_store(settings.store_path, create=False)
    dataset, version = split_name(name)
    chosen, sets = found(store, dataset, version), DatasetSets.of(settings)
    document = described(store, sets, dataset, chosen, time.time_ns() // 1000)
    echo_json(document) if as_json else show(document)


def show(document: dict[str, Any]) -> None:
    """The document as paragraphs and tables no wider than the terminal."""
    taken = readable_time(parse_time_us(document["taken"]))
    click.echo(fitted(f"{document['name']}@{document['version'][:12]} in {document['experiment']}"))
    held, behind = number(document["records"], "record"), number(document["sources"], "trace")
    head = f"taken {taken}: {held} from {behind}"
    people = [f"{number:,} {_PEOPLE[what]}" for what, number in document["people"].items()]
    click.echo(wrapped("; ".join([head, *people])))
    for line in lines(document):
        click.echo(line)
    for key, values in document["tags"].items():
        click.echo("\n" + "\n".join(_values(key, values, document["distinct"][key])))
    if document["items"]:
        click.echo("\n" + "\n".join(_items(document["items"])))
    if (more := document["records"] - len(document["items"])) > 0:
        click.echo(wrapped(f"and {number(more, 'more record')} (`tracesieve datasets get` writes them all)"))
    click.echo("\n" + "\n".join(_history(document["history"])))


def _values(key: str, values: dict[str, int], distinct: int) -> list[str]:
    shown = list(values.items())[:_MOST_VALUES]
    lines = table(
        (plain(key.removeprefix("tracesieve."), 40), "records"),
        [(v, f"{n:,}") for v, n in shown],
        numbers=(1,),
    )
    return lines if distinct <= len(shown) else [*lines, f"and {distinct - len(shown):,} more"]


def _items(items: list[dict[str, Any]]) -> list[str]:
    rows = [
        (one["record"][:8], f"{one['sources']:,}", ", ".join(one["people"]), plain(one["inputs"], 60))
        for one in items
    ]
    return table(("record", "traces", "people's", "inputs"), rows, numbers=(1,))


def _history(history: list[dict[str, Any]]) -> list[str]:
    shown = history[:_MOST_VERSIONS]
    rows = [
        (one["version"][:12], readable_time(parse_time_us(one["taken"])), f"{one['records']:,}")
        for one in shown
    ]
    lines = table(("versions", "taken", "records"), rows, numbers=(2,))
    return lines if len(history) == len(shown) else [*lines, f"and {len(history) - len(shown):,} more"]
