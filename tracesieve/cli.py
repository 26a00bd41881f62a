"""The command line.

A command's module is imported only when it is called, so that commands that read start quickly.
"""

from __future__ import annotations

import sys

import click

from tracesieve.exits import exit_on_error
from tracesieve.lazy_group import LazyGroup
from tracesieve.output import outlive_readers
from tracesieve.patience import bound_clients, of_command

COMMANDS = {
    "demo": "See the whole thing work on a simulated support agent",
    "init": "Look at where traces are, and write a config",
    "run": "Watch traces: count, tag, alert",
    "apply": "Apply the present rules to traces already counted",
    "report": "Error rate, latency, tokens and cost of a range of time",
    "profile": "Where the time and the tokens went, by span type and name",
    "datasets": "Build, list, compare and export versions of the datasets",
    "search": "List or count the traces that a condition matches",
    "alerts": "List what is firing and what fired",
    "explain": "Say for every rule whether a trace matched, and why",
    "outbox": "List, retry or drop deliveries",
    "undo": "Remove every tag and record that was written",
    "rules": "Lint, test and list rule files, and see how the rules did",
    "doctor": "Look at everything that a run needs, and say what is wrong",
}


@click.group(
    cls=LazyGroup,
    package="tracesieve.commands",
    described=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="tracesieve", prog_name="tracesieve")
@click.option("--debug", is_flag=True, help="show the traceback of an unexpected error")
@click.pass_context
def cli(context: click.Context, debug: bool) -> None:
    """Watch GenAI traces: windowed error rates and latency, alerts with evidence, datasets that grow by
    themselves.
    """
    bound_clients(of_command(context.invoked_subcommand))


def main() -> None:
    """Run the command line; :mod:`tracesieve.exits` says how it ends."""
    outlive_readers()
    exit_on_error(lambda: cli(standalone_mode=False), debug="--debug" in sys.argv[1:2])
