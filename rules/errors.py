"""What can be wrong with a rule, said with the place and the mend.

::

    RuleError
    ├── ConditionError   one condition; carries every finding in its text
    └── PackError        a set of rule files that cannot be used; carries every finding
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class ConditionFinding:
    """One thing wrong in a condition; ``line`` and ``column`` count from 1 inside its text."""

    code: str
    line: int
    column: int
    message: str
    hint: str = ""
    severity: str = "error"


@dataclass(frozen=True)
class Finding:
    """One thing wrong in a rule file; an error stops the load, a warning does not."""

    file: str
    line: int
    column: int
    code: str
    message: str
    hint: str = ""
    severity: str = "error"
    rule: str = ""

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.file}:{self.line}:{self.column}: {self.code} {self.message}{hint}"


class RuleError(Exception):
    """A rule or a pack cannot be used."""

    exit_code = 2


class ConditionError(RuleError):
    """A condition cannot be used."""

    def __init__(self, findings: Sequence[ConditionFinding]) -> None:
        self.findings = tuple(findings)
        super().__init__("; ".join(f"{f.line}:{f.column}: {f.message}" for f in self.findings))


class PackError(RuleError):
    """A set of rules cannot be used."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join(str(finding) for finding in self.findings))
