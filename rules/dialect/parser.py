"""From tokens to a typed tree, by recursive descent; every unknown name and type error in a text is reported
at once.

MLflow's filter strings are valid and mean the same: all ``span.*`` terms of one AND-group bind one span, a
feedback matches if any of several does. Operators bind as in SQL: ``NOT`` over ``AND`` over ``OR``.
"""

from __future__ import annotations

from rules.dialect import fields
from rules.dialect.contradictions import never_true
from rules.dialect.functions import article
from rules.dialect.nodes import Compare, IsNull, Literal_, Logic, Matches, Node, Not, Over
from rules.dialect.operands import Operands
from rules.dialect.patterns import regex_error
from rules.dialect.suggestions import hint_at_types
from rules.dialect.tokens import Token, unquote
from rules.dialect.types import any_assessment, scopes_of, type_of
from rules.errors import ConditionError

_COMPARE = {"=": "=", "==": "=", "!=": "<>", "<>": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_LIKES = ("LIKE", "ILIKE", "RLIKE")


class Parser(Operands):
    """Parses one text; ``scope`` says where bare names are looked up: trace, spans or measure."""

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
            message = f"{article(type_of(node))} is not a condition"
            self._cursor.report(at, "type", message, "compare it: `… > 0`")
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
        bare = [part for part in parts if type_of(part) == "truth" and scopes_of(part) == {"spans"}]
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
            return self._in_one_scope(
                start, self._compare(start, left, _COMPARE[op.value], self._sum(depth, left))
            )
        if self._cursor.take("IS"):
            negated = self._cursor.take("NOT") is not None
            self._cursor.need("NULL")
            null = self._in_one_scope(start, IsNull(left))
            return Not(null) if negated else null
        negated = self._cursor.take("NOT") is not None
        if op := self._cursor.take(*_LIKES):
            node: Node = Matches(op.upper, fields.as_json(left), self._text_constant(start, left, op.upper))
        elif self._cursor.take("IN"):
            node = self._in(start, left, depth)
        elif self._cursor.take("BETWEEN"):
            low = self._sum(depth, left)
            self._cursor.need("AND")
            high = self._sum(depth, left)
            node = Logic(
                "AND", (self._compare(start, left, ">=", low), self._compare(start, left, "<=", high))
            )
        elif negated:
            raise self._cursor.failure("LIKE, RLIKE, IN or BETWEEN is expected after NOT")
        else:
            return left
        return self._in_one_scope(start, Not(node) if negated else node)

    def _compare(self, start: Token, left: Node, sign: str, right: Node) -> Node:
        left, right = fields.comparable(left, right)
        self._same_type(start, left, right)
        if sign not in ("=", "<>"):
            return Compare(sign, left, right)
        equal = fields.equal(left, right)
        if isinstance(equal, Compare):
            return Compare(sign, left, right)
        return equal if sign == "=" else Not(equal)

    def _in_one_scope(self, start: Token, node: Node) -> Node:
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
        options = [self._sum(depth, left)]
        while self._cursor.take(","):
            options.append(self._sum(depth, left))
        self._cursor.need(")")
        types = {type_of(option) for option in options} - {"null"}
        if len(types) > 1:
            self._cursor.report(start, "type", "the values after IN are not of one type")
            return Literal_(None)
        equal = tuple(self._compare(start, left, "=", option) for option in options)
        return equal[0] if len(equal) == 1 else Logic("OR", equal)

    def _same_type(self, start: Token, left: Node, right: Node) -> None:
        if len({type_of(left), type_of(right)} - {"null"}) > 1:
            message = f"{article(type_of(left))} is compared with {article(type_of(right))}"
            self._cursor.report(start, "type", message, hint_at_types(left, right))
