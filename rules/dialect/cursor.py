"""Where a parser is in the tokens of a condition, and what it has found wrong so far."""

from __future__ import annotations

from rules.diagnostics import Diagnostic
from rules.dialect.tokens import Token, diagnostic, tokenize
from rules.errors import ConditionError


class Cursor:
    """The tokens of one text, taken one by one.

    Raises:
        ConditionError: the text cannot be split into tokens.
    """

    def __init__(self, text: str) -> None:
        self.diagnostics: list[Diagnostic] = []
        self._text, self._tokens, self._at = text, tokenize(text), 0

    @property
    def first(self) -> Token:
        """The first token of the text."""
        return self._tokens[0]

    @property
    def now(self) -> Token:
        """The token that is next to be taken."""
        return self._tokens[self._at]

    @property
    def after(self) -> Token:
        """The token behind it; not to be asked for at the end."""
        return self._tokens[self._at + 1]

    def step(self) -> Token:
        """Take the next token, whatever it is."""
        self._at += 1
        return self._tokens[self._at - 1]

    def take(self, *values: str) -> Token | None:
        """Take the next token if it is one of those words or operators."""
        return self.step() if self.now.upper in values else None

    def need(self, value: str) -> None:
        """Take a word or an operator that has to come next.

        Raises:
            ConditionError: something else comes.
        """
        if not self.take(value):
            raise self.failure(f"{value!r} is expected before {self.now.value or 'the end'!r}")

    def report(self, token: Token, code: str, message: str, hint: str = "") -> None:
        """Note what is wrong at a token, once; parsing goes on."""
        found = diagnostic(self._text, token.at, code, message, hint)
        if found not in self.diagnostics:
            self.diagnostics.append(found)

    def failure(self, message: str, hint: str = "") -> ConditionError:
        """The error to raise where the text can no longer be followed, at the next token."""
        self.report(self.now, "syntax", message, hint)
        return ConditionError(self.diagnostics)
