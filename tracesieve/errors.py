"""The errors a person at the terminal sees, and the exit code each one ends with.

::

    TracesieveError        exit 2
    ├── ConfigError        exit 2: a mistake in the config, all of them at once
    ├── AnswerIsNoError    exit 1: a failed test, a lint finding
    └── OutsideError       exit 3: an outside system failed, or the store is taken
"""

from __future__ import annotations

from dataclasses import dataclass


class TracesieveError(Exception):
    """A mistake that is reported as one message, without a traceback."""

    exit_code = 2


@dataclass(frozen=True)
class Mistake:
    """One mistake in a config: where it is, what is wrong and how to mend it.

    ``file`` is a config file with its ``line`` and ``key``, or the name of an environment variable, with
    neither.
    """

    file: str
    line: int
    key: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        place = f"{self.file}:{self.line}: {self.key}" if self.line else self.file
        return f"{place}: {self.message}{hint}"


class ConfigError(TracesieveError):
    """The config cannot be used; the message lists every mistake found in it."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        self.mistakes = mistakes
        super().__init__("\n".join(str(mistake) for mistake in mistakes))


class AnswerIsNoError(TracesieveError):
    """The command worked and its answer is "no"."""

    exit_code = 1


class OutsideError(TracesieveError):
    """Something outside failed (a server, a table, the disk) or the store is taken."""

    exit_code = 3
