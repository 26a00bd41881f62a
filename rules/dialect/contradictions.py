"""Conditions that can never be true, as far as constants show it: two values for one field, an empty range, NULL."""

from __future__ import annotations

from rules.dialect.nodes import Compare, Field, IsNull, Literal_, Logic, Node, Over


def never_true(node: Node) -> bool:
    """Whether no trace at all could match; False wherever that cannot be told."""
    if isinstance(node, Literal_):
        return node.value is None or node.value is False
    if isinstance(node, Compare):
        sides = (node.left, node.right)
        return any(isinstance(side, Literal_) and side.value is None for side in sides)
    if isinstance(node, Over):
        return node.op == "any" and never_true(node.condition)
    if not isinstance(node, Logic):
        return False
    if node.op == "OR":
        return all(never_true(part) for part in node.parts)
    parts = _flat(node)
    return any(never_true(part) for part in parts) or _empty_range(parts) or _null_and_compared(parts)


def _flat(node: Logic) -> list[Node]:
    parts: list[Node] = []
    for part in node.parts:
        parts += _flat(part) if isinstance(part, Logic) and part.op == "AND" else [part]
    return parts


def _empty_range(parts: list[Node]) -> bool:
    """Whether bounds on one field leave nothing: ``x = 'a' AND x = 'b'``, ``x > 5 AND x < 3``."""
    bounds: dict[Field, list[tuple[str, str | float]]] = {}
    for part in parts:
        if isinstance(part, Compare) and isinstance(part.left, Field) and isinstance(part.right, Literal_):
            value = part.right.value
            if isinstance(value, str | float) and not isinstance(value, bool):
                bounds.setdefault(part.left, []).append((part.op, value))
    return any(_excludes(a, b) or _excludes(b, a) for each in bounds.values() for a in each for b in each)


def _excludes(one: tuple[str, str | float], other: tuple[str, str | float]) -> bool:
    (op, low), (op2, high) = one, other
    if op == "=" and op2 == "<>":
        return low == high
    if op not in ("=", ">", ">=") or op2 not in ("=", "<", "<="):
        return False
    if op == op2 == "=":
        return low != high
    if isinstance(low, str) != isinstance(high, str):
        return False
    strict = op == ">" or op2 == "<"
    return low > high or (strict and low == high)  # type: ignore[operator]


def _null_and_compared(parts: list[Node]) -> bool:
    null = {part.left for part in parts if isinstance(part, IsNull)}
    return any(isinstance(part, Compare) and {part.left, part.right} & null for part in parts)
