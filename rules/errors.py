"""The errors of rules; each ends the command line with its exit code.

::

    RuleError                exit 2: a rule or a set of rules cannot be used
    ├── ConditionError       one condition
    └── RuleFilesError       rule files that make no set of rules
"""

from __future__ import annotations

from collections.abc import Sequence

from rules.diagnostics import Diagnostic


class RuleError(Exception):
    """A rule cannot be used; ``diagnostics`` says all that is wrong with it."""

    exit_code = 2

    def __init__(self, message: str, diagnostics: Sequence[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__(message)


class ConditionError(RuleError):
    """A condition cannot be used; lines and columns count inside its text."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        super().__init__(
            "; ".join(f"{one.line}:{one.column}: {one.message}" for one in diagnostics), diagnostics
        )


class RuleFilesError(RuleError):
    """Rule files make no set of rules."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        super().__init__("\n".join(map(str, diagnostics)), diagnostics)
