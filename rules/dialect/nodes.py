"""The typed tree of a condition.  Nodes are frozen and compare by value, so that equal sub-expressions of different rules
are evaluated once; ``str(node)`` is the canonical text from which rule hashes are made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Type = Literal["text", "number", "truth", "null"]


@dataclass(frozen=True)
class Node:
    """Any part of a condition."""


@dataclass(frozen=True)
class Literal_(Node):  # noqa: N801 - `Literal` is typing's
    """A constant."""

    value: str | float | bool | None
    kind: str = field(init=False, default="")  # keeps TRUE and 1.0, which Python calls equal, apart

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", type(self.value).__name__)

    def __str__(self) -> str:
        if isinstance(self.value, str):
            return "'" + self.value.replace("'", "''") + "'"
        if isinstance(self.value, bool) or self.value is None:
            return str(self.value).upper() if self.value is not None else "NULL"
        return repr(self.value)


@dataclass(frozen=True)
class Field(Node):
    """A named value: of the trace, or inside ``any(span, …)`` and its kin of a span (scope ``spans``)."""

    name: str
    type: Type
    scope: str  # trace | spans | assessments
    raw: tuple[str, ...]
    decode: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Compare(Node):
    """``=``, ``<>``, ``<``, ``<=``, ``>``, ``>=`` on two texts or two numbers."""

    op: str
    left: Node
    right: Node

    def __str__(self) -> str:
        return f"{self.left} {self.op} {self.right}"


@dataclass(frozen=True)
class Arithmetic(Node):
    """``+ - * /`` on numbers; a division by zero is null."""

    op: str
    left: Node
    right: Node

    def __str__(self) -> str:
        return f"({self.left} {self.op} {self.right})"


@dataclass(frozen=True)
class Matches(Node):
    """``LIKE``, ``ILIKE`` or ``RLIKE`` (RE2, found anywhere) of a text with a constant pattern."""

    op: str
    left: Node
    pattern: str

    def __str__(self) -> str:
        return f"{self.left} {self.op} {Literal_(self.pattern)}"


@dataclass(frozen=True)
class IsNull(Node):
    """True where there is no value; never null itself."""

    left: Node

    def __str__(self) -> str:
        return f"{self.left} IS NULL"


@dataclass(frozen=True)
class Not(Node):
    """SQL's NOT."""

    part: Node

    def __str__(self) -> str:
        return f"NOT ({self.part})"


@dataclass(frozen=True)
class Logic(Node):
    """SQL's AND or OR of two or more parts."""

    op: Literal["AND", "OR"]
    parts: tuple[Node, ...]

    def __str__(self) -> str:
        return "(" + f" {self.op} ".join(str(part) for part in self.parts) + ")"


@dataclass(frozen=True)
class Over(Node):
    """``any``, ``all``, ``count`` or ``sum`` over a trace's spans (or assessments).

    ``any`` and ``all`` are true or false, never null: a span for which the condition is null does not count as matching.
    ``all`` of no span is true, ``count`` of none 0, ``sum`` of none null.
    """

    op: str
    scope: str
    condition: Node
    value: Node | None = None

    def __str__(self) -> str:
        value = f"{self.value}, " if self.value is not None else ""
        return f"{self.op}({self.scope}, {value}{self.condition})"


def fields_of(node: Node) -> list[Field]:
    """Every field in a tree, in order of appearance."""
    if isinstance(node, Field):
        return [node]
    parts: list[Node] = []
    if isinstance(node, Compare | Arithmetic):
        parts = [node.left, node.right]
    elif isinstance(node, Matches | IsNull):
        parts = [node.left]
    elif isinstance(node, Not):
        parts = [node.part]
    elif isinstance(node, Logic):
        parts = list(node.parts)
    elif isinstance(node, Over):
        parts = [node.condition] + ([node.value] if node.value is not None else [])
    return [found for part in parts for found in fields_of(part)]


def scopes_needed(node: Node) -> set[str]:
    """The scopes (``spans``, ``assessments``) whose items a tree goes over."""
    parts: list[Node] = []
    if isinstance(node, Over):
        return {node.scope}
    if isinstance(node, Compare | Arithmetic):
        parts = [node.left, node.right]
    elif isinstance(node, Matches | IsNull):
        parts = [node.left]
    elif isinstance(node, Not):
        parts = [node.part]
    elif isinstance(node, Logic):
        parts = list(node.parts)
    return {scope for part in parts for scope in scopes_needed(part)}
