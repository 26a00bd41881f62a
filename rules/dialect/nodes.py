"""The typed tree of a condition. Nodes are frozen and compare by value, so that equal sub-expressions of
different rules are evaluated once; ``str(node)`` is the canonical text from which rule hashes are made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, cast, dataclass_transform

Type = Literal["text", "number", "truth", "time", "null"]
FLIPPED = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}  # with the sides exchanged
NEGATED = {"=": "<>", "<>": "=", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}
_Class = TypeVar("_Class", bound=type)


class Node:
    """Any part of a condition."""

    def __getstate__(self) -> dict[str, Any]:
        """Without the hash: that of a text differs from process to process."""
        return {name: value for name, value in self.__dict__.items() if name != "_hash"}


@dataclass_transform(frozen_default=True)
def _node(cls: _Class) -> _Class:
    """A frozen dataclass that works its hash out once: the matcher looks every part of every rule up."""
    made: Any = dataclass(frozen=True)(cls)
    of_fields: Callable[[Any], int] = made.__hash__

    def __hash__(self: Any) -> int:  # noqa: N807
        known = self.__dict__.get("_hash")
        if known is None:
            known = of_fields(self)
            object.__setattr__(self, "_hash", known)
        return cast(int, known)

    made.__hash__ = __hash__
    return cast(_Class, made)


@_node
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


@_node
class Field(Node):
    """A named value: of the trace, or inside ``any(span, …)`` and its kin of a span (scope ``spans``)."""

    name: str
    type: Type
    scope: str  # trace | spans | assessments
    raw: tuple[str, ...]
    decode: str

    def __str__(self) -> str:
        return self.name


@_node
class Compare(Node):
    """``=``, ``<>``, ``<``, ``<=``, ``>``, ``>=`` on two texts or two numbers."""

    op: str
    left: Node
    right: Node

    def __str__(self) -> str:
        return f"{self.left} {self.op} {self.right}"


@_node
class Arithmetic(Node):
    """``+ - * /`` on numbers; a division by zero is null."""

    op: str
    left: Node
    right: Node

    def __str__(self) -> str:
        return f"({self.left} {self.op} {self.right})"


@_node
class Call(Node):
    """A function (``rules/dialect/functions.py``) of the values of one item: of a trace, or of a span."""

    function: str
    arguments: tuple[Node, ...]
    type: Type

    def __str__(self) -> str:
        return f"{self.function}({', '.join(map(str, self.arguments))})"


@_node
class Matches(Node):
    """``LIKE``, ``ILIKE`` or ``RLIKE`` (RE2, found anywhere) of a text with a constant pattern."""

    op: str
    left: Node
    pattern: str

    def __str__(self) -> str:
        return f"{self.left} {self.op} {Literal_(self.pattern)}"


@_node
class IsNull(Node):
    """True where there is no value; never null itself."""

    left: Node

    def __str__(self) -> str:
        return f"{self.left} IS NULL"


@_node
class Not(Node):
    """SQL's NOT."""

    part: Node

    def __str__(self) -> str:
        return f"NOT ({self.part})"


@_node
class Logic(Node):
    """SQL's AND or OR of two or more parts."""

    op: Literal["AND", "OR"]
    parts: tuple[Node, ...]

    def __str__(self) -> str:
        return "(" + f" {self.op} ".join(str(part) for part in self.parts) + ")"


@_node
class Over(Node):
    """``any``, ``all``, ``count``, ``sum``, ``max``, ``min`` or ``avg`` over a trace's spans (or
    assessments).

    ``any`` and ``all`` are true or false, never null: a span for which the condition is null does not count
    as matching. ``all`` of no span is true, ``count`` of none 0; ``sum``, ``max``, ``min`` and ``avg`` of no
    value are null.
    """

    op: str
    scope: str
    condition: Node
    value: Node | None = None

    def __str__(self) -> str:
        value = f"{self.value}, " if self.value is not None else ""
        return f"{self.op}({self.scope}, {value}{self.condition})"


def parts_of(node: Node) -> tuple[Node, ...]:
    """The parts a node is made of, in order of appearance; none for a field or a constant."""
    if isinstance(node, Compare | Arithmetic):
        return node.left, node.right
    if isinstance(node, Matches | IsNull):
        return (node.left,)
    if isinstance(node, Not):
        return (node.part,)
    if isinstance(node, Logic):
        return node.parts
    if isinstance(node, Call):
        return node.arguments
    if isinstance(node, Over):
        return (node.condition,) if node.value is None else (node.value, node.condition)
    return ()


def walk(node: Node) -> Iterator[Node]:
    """A node and everything below it, each before its parts."""
    yield node
    for part in parts_of(node):
        yield from walk(part)


def fields_of(node: Node) -> list[Field]:
    """Every field in a tree, in order of appearance."""
    return [part for part in walk(node) if isinstance(part, Field)]
