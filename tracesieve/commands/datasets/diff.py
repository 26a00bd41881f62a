"""``tracesieve datasets diff``: what differs between two versions; asks no server, starts no Java."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tracesieve.errors import TracesieveError
from tracesieve.json_output import echo_json
from tracesieve.terminal import fitted, plain, wrapped

if TYPE_CHECKING:
    from store import Store
    from store.dataset_versions import StoredVersion

_MOST = 20
_SIGNS = {"added": "+", "removed": "-", "changed": "~"}


@click.command("diff")
@click.argument("a", metavar="NAME[@VERSION]")
@click.argument("b", metavar="[[NAME]@VERSION]", required=False)
@click.option("-c", "config", default="tracesieve.yaml", show_default=True, help="the config file")
@click.option("--json", "as_json", is_flag=True, help="one JSON document on stdout")
def command(a: str, b: str | None, config: str, as_json: bool) -> None:
    """What differs between two versions: records that came and went, and what changed in which.

    With one version: what it changed in the one before it.
    """
    from store import open_store
    from tracesieve.config.loading import load_settings
    from tracesieve.datasets.comparison import compared

    store = open_store(load_settings(config).store_path, create=False)
    document = compared(store, *_pair(store, a, b))
    echo_json(document) if as_json else show(document)


def _pair(store: Store, a: str, b: str | None) -> tuple[StoredVersion, StoredVersion]:
    from tracesieve.datasets.versions import found, short, split_name, versions_of

    name, version = split_name(a)
    if b is not None:
        other, other_version = split_name(b)
        return found(store, name, version), found(store, other or name, other_version)
    last = found(store, name, version)
    before = [one for one in versions_of(store, name) if one.number < last.number]
    if not before:
        raise TracesieveError(f"{name}@{short(last)} is the first version: name another to compare it with")
    return before[-1], last


def show(document: dict[str, Any]) -> None:
    """A paragraph, and a line a change."""
    a, b = (f"{document[side]['name']}@{document[side]['version'][:12]}" for side in ("a", "b"))
    counts = ", ".join(f"{document[name]:,} {name}" for name in ("added", "removed", "changed", "same"))
    click.echo(wrapped(f"from {a} to {b}: {counts}"))
    for row in document["changes"][:_MOST]:
        by = " by a person" if row["by"] == "person" else ""
        click.echo(
            fitted(f"{_SIGNS[row['change']]} {row['record'][:8]} {row['change']}{by}: {row['inputs']}")
        )
        for part in row["parts"]:
            click.echo(fitted(f"    {_part(part)}"))
    if (more := len(document["changes"]) - _MOST) > 0:
        click.echo(f"and {more:,} more (--json has them all)")
    if document["noted"]:
        click.echo(wrapped(f"of {document['noted']:,} others only the sources, rules or reasons differ"))


def _part(part: dict[str, Any]) -> str:
    name = part["part"] if part["key"] is None else f"{part['part']} {plain(part['key'], 30)}"
    before, after = ("-" if part[side] is None else plain(part[side], 60) for side in ("before", "after"))
    return f"{name}: {before} -> {after}"
