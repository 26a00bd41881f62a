"""The command line.  A command's module is imported only when it is called, so that those that read start
quickly.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import sys
import tempfile
import traceback
from typing import Any

import click

from tracesieve.terminal import plain

BUG = 70  # sysexits' EX_SOFTWARE: none of the answers that a script waits for

COMMANDS = {
    "demo": "See the whole thing work on a simulated support agent",
    "init": "Write a config for an MLflow server or a Delta table",
    "run": "Watch traces: count, tag, alert",
    "report": "Error rate, latency, tokens and cost of a range of time",
    "alerts": "List what is firing and what fired",
    "explain": "Say for every rule whether a trace matched, and why",
    "outbox": "List, retry or drop deliveries",
    "undo": "Remove every tag and record that was written",
    "rules": "Lint, test and list rule files",
    "doctor": "Look at everything that a run needs, and say what is wrong",
}


class LazyGroup(click.Group):
    """A click group whose subcommands live in ``tracesieve/commands/<name>.py`` as ``command``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order in which a new user meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the one command that was asked for."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"tracesieve.commands.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tracesieve", prog_name="tracesieve")
@click.option("--debug", is_flag=True, help="show the traceback of an unexpected error")
def cli(debug: bool) -> None:
    """Watch GenAI traces: windowed error rates and latency, alerts with evidence, datasets that grow by
    themselves.
    """


def main() -> None:
    """Run the command line; whatever happens ends in a message and an exit code, never in a traceback.

    0 done, 1 the answer is "no", 2 bad usage or config, 3 something outside failed, 70 a bug, 130
    interrupted.
    """
    try:
        cli(standalone_mode=False)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except Exception as error:  # noqa: BLE001 - the last line of defence
        code = outside_exit_code(error)
        if code is None:
            code = BUG
            click.echo(_bug(error), err=True)
        else:
            click.echo("\n".join(plain(line) for line in str(error).splitlines()), err=True)
        if "--debug" in sys.argv[1:2]:
            traceback.print_exception(error)
        sys.exit(code)


def outside_exit_code(error: Exception) -> int | None:
    """1, 2 or 3 for the error trees of all packages (each class says its own ``exit_code``), None for a
    bug.
    """
    code = getattr(error, "exit_code", None)
    return code if isinstance(code, int) else None


def _bug(error: Exception) -> str:
    """One line for an unexpected error; its traceback goes to a file that only this user can read."""
    number, name = tempfile.mkstemp(prefix="tracesieve-bug-", suffix=".txt")
    with os.fdopen(number, "w", encoding="utf-8", errors="backslashreplace") as file:
        traceback.print_exception(error, file=file)
    said = plain(str(error).strip().partition("\n")[0], 300)
    return f"this is a bug in tracesieve: {type(error).__name__}: {said} (the traceback is in {name})"


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The record's time, level, logger and message, with ``extra={"fields": {...}}`` merged in."""
        line: dict[str, Any] = {
            "at": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """One line a record: time, level, logger, message; what servers and traces said cannot move the
    cursor.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        """The line without a traceback, made harmless."""
        return plain(super().formatMessage(record))


def set_up_logging(level: str, form: str) -> None:
    """Send our own log to stderr as text or JSON, and keep the libraries quiet."""
    handler = logging.StreamHandler(sys.stderr)
    text = TextFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")
    handler.setFormatter(JsonFormatter() if form == "json" else text)
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # a retry is said by whoever retries
    logging.getLogger("py4j").setLevel(
        logging.CRITICAL
    )  # what a batch raises ends the query, and is said by the run
    for name in ("tracesieve", "streams", "sinks", "store", "rules"):
        logging.getLogger(name).setLevel(level.upper())
