"""The values that conditions compare: constants, names, sums and products, functions, and what comes of the
spans of a trace.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from rules.dialect import fields
from rules.dialect.cursor import Cursor
from rules.dialect.functions import FUNCTIONS, OVER_SPANS, article, call, known_functions, unknown_function
from rules.dialect.nodes import Arithmetic, Field, Literal_, Node, Over
from rules.dialect.suggestions import unknown_field
from rules.dialect.tokens import MAX_DEPTH, Token, unquote
from rules.dialect.types import type_of


class Operands(ABC):
    """Parses values; ``scope`` says where bare names are looked up: trace, spans or measure."""

    def __init__(self, text: str, scope: str) -> None:
        self._cursor, self._scope = Cursor(text), scope
        # What the value that is read next is compared with; None: nothing.
        self._beside: Node | None = None

    @abstractmethod
    def _or(self, depth: int) -> Node:
        """A whole condition, or a single value."""

    @abstractmethod
    def _truth(self, at: Token, node: Node) -> Node:
        """The node, which has to be true or false."""

    def _sum(self, depth: int, beside: Node | None = None) -> Node:
        outer, self._beside = self._beside, beside
        node, terms = self._product(depth), 0
        while op := self._cursor.take("+", "-"):
            terms = self._chain(terms)
            node = self._arithmetic(op, node, self._product(depth))
        self._beside = outer
        return node

    def _product(self, depth: int) -> Node:
        node, terms = self._value(depth), 0
        while op := self._cursor.take("*", "/"):
            terms = self._chain(terms)
            node = self._arithmetic(op, node, self._value(depth))
        return node

    def _chain(self, terms: int) -> int:
        if terms >= MAX_DEPTH:
            raise self._cursor.failure(f"more than {MAX_DEPTH} terms in one sum or product")
        return terms + 1

    def _arithmetic(self, op: Token, left: Node, right: Node) -> Node:
        for side in (left, right):
            if type_of(side) not in ("number", "null"):
                hint = f"`number({side})` reads a text as a number" if type_of(side) == "text" else ""
                self._cursor.report(op, "type", f"{op.value!r} needs numbers", hint)
                break
        return Arithmetic(op.value, left, right)

    def _value(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise self._cursor.failure(f"nested more than {MAX_DEPTH} deep")
        token = self._cursor.now
        if self._cursor.take("("):
            node = self._or(depth + 1)
            self._cursor.need(")")
            return node
        if self._cursor.take("-"):
            return Arithmetic("-", Literal_(0.0), self._value(depth + 1))
        if token.kind in ("number", "text"):
            self._cursor.step()
            return Literal_(float(token.value) if token.kind == "number" else unquote(token.value))
        if token.upper in ("TRUE", "FALSE", "NULL"):
            self._cursor.step()
            return Literal_({"TRUE": True, "FALSE": False, "NULL": None}[token.upper])
        if token.kind in ("word", "quoted"):
            called = token.kind == "word" and self._cursor.after.value == "("
            return self._called(depth) if called else self._name()
        raise self._cursor.failure(
            "a value is expected " + (f"before {token.value!r}" if token.value else "at the end")
        )

    def _called(self, depth: int) -> Node:
        """A word and what stands in parentheses behind it."""
        start = self._cursor.now
        name = start.value.lower()
        if name not in known_functions(self._scope):
            self._cursor.report(start, *unknown_function(self._scope, start.value))
            self._cursor.step()
            self._arguments(depth)
            return Literal_(None)
        if name in OVER_SPANS:
            return self._over(depth)
        self._cursor.step()
        arguments = [self._field()] if name == "has" else self._arguments(depth)
        if name == "number" and len(arguments) == 1 and _is_assessment(arguments[0]):
            return fields.as_number(arguments[0])
        node, wrong, hint = call(name, arguments)
        if wrong:
            self._cursor.report(start, "type", wrong, hint)
        return node

    def _arguments(self, depth: int) -> list[Node]:
        """What stands in parentheses, separated by commas; may be nothing."""
        self._cursor.need("(")
        found: list[Node] = []
        while not self._cursor.take(")"):
            if found:
                self._cursor.need(",")
            found.append(self._or(depth + 1))
        return found

    def _field(self) -> Node:
        """The one name in the parentheses of ``has``."""
        self._cursor.need("(")
        if self._cursor.now.kind not in ("word", "quoted"):
            raise self._cursor.failure("the name of a field is expected", f"write {FUNCTIONS['has'].form}")
        node = self._name()
        self._cursor.need(")")
        return node

    def _over(self, depth: int) -> Node:
        start = self._cursor.step()
        op = start.value.lower()
        form = f"write {OVER_SPANS[op][0]}"
        self._cursor.need("(")
        if not self._cursor.take("SPAN", "SPANS"):
            raise self._cursor.failure("`span` is expected", form)
        outer, self._scope = self._scope, "spans"
        node: Node = Literal_(True)
        value = None if op in ("any", "all", "count") else self._number_of_span(op, form, depth)
        if self._cursor.take(","):
            first = self._cursor.now
            node = self._truth(first, self._or(depth + 1))
        elif op in ("any", "all"):
            raise self._cursor.failure("a condition on the span is expected", form)
        self._scope = outer
        self._cursor.need(")")
        return Over(op, "spans", node, value)

    def _number_of_span(self, op: str, form: str, depth: int) -> Node:
        if not self._cursor.take(","):
            raise self._cursor.failure("a number of the span is expected", form)
        first = self._cursor.now
        value = fields.as_number(self._sum(depth + 1))
        if type_of(value) not in ("number", "null"):
            message = f"`{op}` needs a number, not {article(type_of(value))}"
            hint = "`number(…)` makes a number of a text" if type_of(value) == "text" else form
            self._cursor.report(first, "type", message, hint)
        return value

    def _name(self) -> Node:
        start = self._cursor.now
        parts = [self._word()]
        while self._cursor.now.value == "." and self._cursor.now.kind == "op":
            self._cursor.step()
            parts.append(self._word())
        field = fields.lookup(self._scope, tuple(parts))
        if field is None:
            beside = self._beside is not None and type_of(self._beside) == "text" and start.kind == "word"
            words = fields.words_of(self._beside)
            self._cursor.report(start, *unknown_field(self._scope, tuple(parts), beside, words))
            return Literal_(None)
        return field

    def _word(self) -> str:
        token = self._cursor.now
        if token.kind not in ("word", "quoted", "text"):
            raise self._cursor.failure("a name is expected")
        self._cursor.step()
        if token.kind == "quoted":
            return unquote(token.value)
        return token.value if token.kind == "word" else token.value[1:-1]


def _is_assessment(node: Node) -> bool:
    return isinstance(node, Field) and node.scope == "assessments"
