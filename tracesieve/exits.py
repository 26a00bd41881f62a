"""How a process ends: a message for a person and an exit code, whatever happens; never a traceback.

====  ===========================================================
code  meaning
====  ===========================================================
0     done
1     the answer is "no"
2     bad usage or config
3     something outside failed, or the store is taken
70    a bug in tracesieve (``EX_SOFTWARE`` of sysexits)
130   interrupted
====  ===========================================================

A reader of the output that goes away changes none of them (:mod:`tracesieve.output`).
"""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from collections.abc import Callable

import click

from tracesieve.terminal import plain

BUG = 70
INTERRUPTED = 130
# The root of each package's errors. They are looked up among the modules that are loaded: an error whose
# module is not loaded has not been raised, and loading all of them would cost what lazy commands save.
ERROR_ROOTS = {
    "rules.errors": "RulesError",
    "store.errors": "StoreError",
    "streams.errors": "StreamsError",
    "sinks.errors": "SinkError",
    "tracesieve.errors": "TracesieveError",
}


def exit_on_error(work: Callable[[], object], *, debug: bool = False) -> None:
    """Do ``work``; an error ends the process. ``debug`` also prints the traceback of what is unexpected."""
    try:
        work()
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except Exception as error:  # noqa: BLE001 - the last line of defence
        code = exit_code_of(error)
        if code is None:
            click.echo(_bug(error), err=True)
        else:
            click.echo("\n".join(plain(line) for line in str(error).splitlines()), err=True)
        if debug:
            traceback.print_exception(error)
        sys.exit(BUG if code is None else code)


def exit_code_of(error: Exception) -> int | None:
    """The exit code of an error of ours, which its class has; None: it is a bug."""
    for module, root in ERROR_ROOTS.items():
        if module in sys.modules and isinstance(error, getattr(sys.modules[module], root)):
            code: int = error.exit_code
            return code
    return None


def _bug(error: Exception) -> str:
    """One line for an unexpected error; its traceback goes to a file that only this user can read."""
    number, name = tempfile.mkstemp(prefix="tracesieve-bug-", suffix=".txt")
    with os.fdopen(number, "w", encoding="utf-8", errors="backslashreplace") as file:
        traceback.print_exception(error, file=file)
    message = plain(str(error).strip().partition("\n")[0], 300)
    return f"this is a bug in tracesieve: {type(error).__name__}: {message} (the traceback is in {name})"
