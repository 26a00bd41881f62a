"""The condition language of rules: a fenced SQL dialect with the names of MLflow's trace filters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rules.dialect.nodes import Field, Node, Over, walk
from rules.dialect.parser import Parser


@dataclass(frozen=True)
class Condition:
    """A checked condition: its text as written, its tree, its canonical text and the raw columns it reads."""

    text: str
    node: Node

    @property
    def normal(self) -> str:
        """The canonical text; equal for conditions that differ in layout alone."""
        return str(self.node)

    @property
    def columns(self) -> tuple[str, ...]:
        """The raw columns (``rules/matcher/columns.py``) that the condition reads."""
        parts = list(walk(self.node))
        named = [raw for part in parts if isinstance(part, Field) for raw in part.raw]
        over_spans = any(isinstance(part, Over) and part.scope == "spans" for part in parts)
        if over_spans and not any(raw.startswith("spans.") for raw in named):
            named.append("spans.span_id")  # `count(span)` names no field, yet needs the spans
        return tuple(dict.fromkeys(named))


def compile_condition(text: str, *, kind: Literal["trace", "measure"] = "trace") -> Condition:
    """Parse and check a condition on a trace, or on the measures of a window.

    Raises:
        rules.errors.ConditionError: with everything that is wrong in the text.
    """
    return Condition(text, Parser(text, kind).parse())


__all__ = ["Condition", "compile_condition"]
