"""A condition on the command line, in the language of rules; its faults in one message with the place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracesieve.errors import TracesieveError
from tracesieve.terminal import plain, pointed, wrapped

if TYPE_CHECKING:
    from rules.dialect import Condition


def parsed(option: str, text: str) -> Condition:
    """The condition that ``option`` (``--where``, say) was given.

    Raises:
        TracesieveError: it cannot be used; the message has all that is wrong, each with its place and a hint.
    """
    from rules.dialect import compile_condition
    from rules.errors import ConditionError

    if not text.isascii() and text != text.encode("utf-8", "replace").decode():
        raise TracesieveError(f"{option}: is no UTF-8")
    try:
        return compile_condition(text)
    except ConditionError as error:
        lines, found = text.split("\n"), []
        for one in error.diagnostics:
            hint = f" ({one.hint})" if one.hint else ""
            found.append(wrapped(f"{option}: {one.message}{hint}", hang=2))
            if one.line:
                found += pointed(lines[min(one.line, len(lines)) - 1], one.column)
        raise TracesieveError("\n".join(found or [plain(f"{option}: {error}")])) from error
