"""The errors a person at the terminal sees, and the exit code each one ends with.

::

    TracesieveError        exit 2
    ├── ConfigError        exit 2: the config is wrong; all of it at once
    ├── AnswerIsNoError    exit 1: a failed test, a lint finding
    └── OutsideError       exit 3: an outside system failed, or the store is taken
"""

from __future__ import annotations

from collections.abc import Sequence

from rules.diagnostics import Diagnostic


class TracesieveError(Exception):
    """A mistake that is reported as one message, without a traceback."""

    exit_code = 2


class ConfigError(TracesieveError):
    """The config cannot be used; the message says all that is wrong with it.

    ``shown`` are the diagnostics for people, where more than a line each is to be shown.
    """

    def __init__(self, diagnostics: Sequence[Diagnostic], shown: Sequence[str] = ()) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__("\n".join(shown or map(str, diagnostics)))


class AnswerIsNoError(TracesieveError):
    """The command worked and its answer is "no"."""

    exit_code = 1


class OutsideError(TracesieveError):
    """Something outside failed (a server, a table, the disk) or the store is taken."""

    exit_code = 3
