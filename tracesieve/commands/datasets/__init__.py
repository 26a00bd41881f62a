"""``tracesieve datasets``: versions of the datasets; a file a command."""

from __future__ import annotations

import click

from tracesieve.lazy_group import LazyGroup

COMMANDS = {
    "build": "Write the records that are due, and take versions",
    "list": "The datasets and their last versions",
    "show": "What a version holds",
    "diff": "What differs between two versions",
    "get": "Write a version to a file",
    "push": "Merge a version into another MLflow dataset",
    "evaluate": "Judge the answers of a version: the gate",
}


@click.group("datasets", cls=LazyGroup, package=__name__, described=COMMANDS)
def command() -> None:
    """Build, list, compare and export versions of the datasets.

    A version is named NAME@VERSION: a beginning of its hash is enough, `latest` or nothing is the last one.
    """
