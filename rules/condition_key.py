"""Keys of a config that hold a condition of the rules' language."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator

from rules.diagnostics import Diagnostic
from rules.dialect import compile_condition
from rules.errors import ConditionError


class ConditionTextError(ValueError):
    """A text cannot be used as a condition; lines and columns count inside it."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        super().__init__("; ".join(one.message for one in diagnostics))
        self.diagnostics = tuple(diagnostics)


def _checked(value: str) -> str:
    try:
        compile_condition(value)
    except ConditionError as error:
        raise ConditionTextError(error.diagnostics) from error
    return value


ConditionText = Annotated[str, AfterValidator(_checked)]
