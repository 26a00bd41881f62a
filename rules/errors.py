"""The errors of rules; each ends the command line with its exit code.

::

    RulesError                   exit 2
    ├── RuleError                a rule or a set of rules cannot be used
    │   ├── ConditionError       one condition
    │   └── RuleFilesError       rule files that make no set of rules
    └── RedactionError           a record cannot be redacted, and must not be written as it is
        ├── PluginError          the function of the config that finds more failed
        └── TooDeepError         a value is nested too deep
"""

from __future__ import annotations

from collections.abc import Sequence

from rules.diagnostics import Diagnostic


class RulesError(Exception):
    """The root: what was given to the package cannot be used."""

    exit_code = 2


class RuleError(RulesError):
    """A rule cannot be used; ``diagnostics`` says all that is wrong with it."""

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


class RedactionError(RulesError):
    """A record cannot be redacted, and must not be written as it is. No message of these names content."""


class PluginError(RedactionError):
    """The function that finds more failed, or answered with something else than parts of the texts."""


class TooDeepError(RedactionError):
    """A value is nested too deep."""
