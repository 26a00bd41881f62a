"""A group of commands whose modules are imported only when they are called, so that each starts quickly."""

from __future__ import annotations

import importlib
from typing import Any

import click


class LazyGroup(click.Group):
    """Its commands live in ``<package>/<name>.py`` as ``command``; ``described`` says in a line what each
    does, in the order in which a new user meets them.
    """

    def __init__(self, *arguments: Any, package: str, described: dict[str, str], **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._package, self._described = package, described

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order in which a new user meets them."""
        return list(self._described)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the one command that was asked for."""
        if cmd_name not in self._described:
            return None
        module = importlib.import_module(f"{self._package}.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self._described.items()))
