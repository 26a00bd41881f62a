"""From tokens to a typed tree, by recursive descent; every unknown name and type error in a text is reported
at once.

MLflow's filter strings are valid and mean the same: all ``span.*`` terms of one AND-group bind one span, a
feedback matches if any of several does.  Operators bind as in SQL: ``NOT`` over ``AND`` over ``OR``.
"""

from __future__ import annotations

from rules.dialect import fields
from rules.dialect.contradictions import never_true
from rules.dialect.cursor import Cursor
from rules.dialect.nodes import Arithmetic, Compare, IsNull, Literal_, Logic, Matches, Node, Not, Over
from rules.dialect.patterns import regex_error
from rules.dialect.tokens import MAX_DEPTH, Token, unquote
from rules.dialect.types import any_assessment, scopes_of, type_of
from rules.errors import ConditionError

_COMPARE = {"=": "=", "==": "=", "!=": "<>", "<>": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_OVER = ("ANY", "ALL", "COUNT", "SUM")
_LIKES = ("LIKE", "ILIKE", "RLIKE")


class Parser:
    """Parses one text; ``scope`` says where bare names are looked up: trace, spans or measure."""

    def __init__(self, text: str, scope: str) -> None:
        self._cursor, self._scope = Cursor(text), scope

    def parse(self) -> Node:
        """The whole text as one condition.

        Raises:
            ConditionError: with everything that is wrong.
        """
        node = self._or(0)
        if self._cursor.now.kind != "end":
            raise self._cursor.failure(
                f"{self._cursor.now.value!r} is not expected here", "join conditions with AND or OR"
            )
        cursor = self._cursor
        if not cursor.diagnostics and type_of(node) not in ("truth", "null"):
            hint = "compare it: `… > 0`"
            cursor.report(cursor.first, "type", "a condition has to be true or false", hint)
        if not cursor.diagnostics and (reason := never_true(node)):
            cursor.report(cursor.first, "never-true", f"the condition can never be true: {reason}")
        if cursor.diagnostics:
            raise ConditionError(cursor.diagnostics)
        return node

    def _truth(self, at: Token, node: Node) -> Node:
        if type_of(node) not in ("truth", "null"):
            self._cursor.report(at, "type", f"a {type_of(node)} is not a condition", "compare it: `… > 0`")
        return node

    def _or(self, depth: int) -> Node:
        first = self._cursor.now
        parts = [self._and(depth)]
        while self._cursor.now.upper == "OR":
            self._truth(first, parts[-1])
            self._cursor.step()
            first = self._cursor.now
            parts.append(self._truth(first, self._and(depth)))
        return parts[0] if len(parts) == 1 else Logic("OR", tuple(parts))

    def _and(self, depth: int) -> Node:
        first = self._cursor.now
        parts = [self._not(depth)]
        while self._cursor.now.upper == "AND":
            self._truth(first, parts[-1])
            self._cursor.step()
            first = self._cursor.now
            parts.append(self._truth(first, self._not(depth)))
        return self._bind_spans(parts)

    def _bind_spans(self, parts: list[Node]) -> Node:
        """Put the bare ``span.*`` terms of an AND-group into one ``any(span, …)``; assessments each into
        their own.
        """
        bare = [part for part in parts if not isinstance(part, Over) and scopes_of(part) == {"spans"}]
        if bare and self._scope == "trace":
            one = bare[0] if len(bare) == 1 else Logic("AND", tuple(bare))
            first = next(i for i, part in enumerate(parts) if any(part is b for b in bare))
            rest = [part for part in parts if not any(part is b for b in bare)]
            parts = [*rest[:first], Over("any", "spans", one), *rest[first:]]
        parts = [any_assessment(part) for part in parts]
        return parts[0] if len(parts) == 1 else Logic("AND", tuple(parts))

    def _not(self, depth: int) -> Node:
        flips = 0
        while self._cursor.take("NOT"):
            flips += 1
        start = self._cursor.now
        node = self._predicate(depth)
        if flips:
            self._truth(start, node)
            node = any_assessment(node)
            if scopes_of(node) == {"spans"} and self._scope == "trace":
                node = Over("any", "spans", node)
        return Not(node) if flips % 2 else node

    def _predicate(self, depth: int) -> Node:
        start = self._cursor.now
        left = self._sum(depth)
        if op := self._cursor.take(*_COMPARE):
            right = self._sum(depth)
            if type_of(right) == "number":
                left = fields.as_number(left)
            self._same_type(start, left, right)
            sign = _COMPARE[op.value]
            equal = fields.equal(left, right) if sign in ("=", "<>") else None
            if equal is None or isinstance(equal, Compare):
                return self._lift(start, Compare(sign, left, right))
            return self._lift(start, equal if sign == "=" else Not(equal))
        if self._cursor.take("IS"):
            negated = self._cursor.take("NOT") is not None
            self._cursor.need("NULL")
            null = self._lift(start, IsNull(left))
            return Not(null) if negated else null
        negated = self._cursor.take("NOT") is not None
        if op := self._cursor.take(*_LIKES):
            node: Node = Matches(op.upper, fields.as_json(left), self._text_constant(start, left, op.upper))
        elif self._cursor.take("IN"):
            node = self._in(start, left, depth)
        elif self._cursor.take("BETWEEN"):
            low = self._sum(depth)
            self._cursor.need("AND")
            high = self._sum(depth)
            self._same_type(start, left, low)
            self._same_type(start, left, high)
            node = Logic("AND", (Compare(">=", left, low), Compare("<=", left, high)))
        elif negated:
            raise self._cursor.failure("LIKE, RLIKE, IN or BETWEEN is expected after NOT")
        else:
            return left
        return self._lift(start, Not(node) if negated else node)

    def _lift(self, start: Token, node: Node) -> Node:
        if len(scopes_of(node)) > 1 and self._scope == "trace" and scopes_of(node) & {"spans", "assessments"}:
            self._cursor.report(
                start, "scope", "a span's value cannot be compared with a trace's here", "write any(span, …)"
            )
        return node

    def _text_constant(self, start: Token, left: Node, op: str) -> str:
        if type_of(left) not in ("text", "null"):
            self._cursor.report(start, "type", "a pattern needs a text on its left")
        token = self._cursor.now
        if token.kind != "text":
            raise self._cursor.failure("a pattern in quotes is expected")
        self._cursor.step()
        pattern = unquote(token.value)
        if op == "RLIKE" and (wrong := regex_error(pattern)):
            self._cursor.report(
                token, "pattern", f"not a regular expression of RE2: {wrong}", "RE2 has no look-around"
            )
        return pattern

    def _in(self, start: Token, left: Node, depth: int) -> Node:
        self._cursor.need("(")
        options = [self._sum(depth)]
        while self._cursor.take(","):
            options.append(self._sum(depth))
        self._cursor.need(")")
        for option in options:
            self._same_type(start, left, option)
        equal = tuple(fields.equal(left, option) for option in options)
        return equal[0] if len(equal) == 1 else Logic("OR", equal)

    def _same_type(self, start: Token, left: Node, right: Node) -> None:
        found = {type_of(left), type_of(right)} - {"null"}
        if len(found) > 1:
            hint = "numbers are written without quotes" if "number" in found else ""
            self._cursor.report(start, "type", f"a {type_of(left)} is compared with a {type_of(right)}", hint)

    def _sum(self, depth: int) -> Node:
        node, terms = self._product(depth), 0
        while op := self._cursor.take("+", "-"):
            terms = self._chain(terms)
            node = self._arithmetic(op, node, self._product(depth))
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
        if {type_of(left), type_of(right)} - {"number", "null"}:
            self._cursor.report(op, "type", f"{op.value!r} needs numbers")
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
            if token.upper in _OVER and self._cursor.after.value == "(" and self._scope == "trace":
                return self._over(depth)
            return self._name()
        raise self._cursor.failure(
            "a value is expected " + (f"before {token.value!r}" if token.value else "at the end")
        )

    def _over(self, depth: int) -> Node:
        op = self._cursor.now.value.lower()
        self._cursor.step()
        self._cursor.need("(")
        if not self._cursor.take("SPAN", "SPANS"):
            raise self._cursor.failure("`span` is expected", f"write {op}(span, …)")
        outer, self._scope = self._scope, "spans"
        condition, value = Literal_(True), None
        node: Node = condition
        if op == "sum":
            self._cursor.need(",")
            value = self._sum(depth + 1)
        if self._cursor.take(","):
            start = self._cursor.now
            node = self._truth(start, self._or(depth + 1))
        elif op in ("any", "all"):
            raise self._cursor.failure("a condition on the span is expected", f"write {op}(span, …)")
        self._scope = outer
        self._cursor.need(")")
        return Over(op, "spans", node, value)

    def _name(self) -> Node:
        start = self._cursor.now
        parts = [self._word()]
        while self._cursor.now.value == "." and self._cursor.now.kind == "op":
            self._cursor.step()
            parts.append(self._word())
        field = fields.lookup(self._scope, tuple(parts))
        if field is None:
            self._cursor.report(start, *fields.unknown(self._scope, tuple(parts)))
            return Literal_(None)
        return field

    def _word(self) -> str:
        token = self._cursor.now
        if token.kind not in ("word", "quoted", "text"):
            raise self._cursor.failure("a name is expected")
        self._cursor.step()
        return token.value if token.kind == "word" else token.value[1:-1]
