"""Which spans (or assessments) of a trace decided a part of a condition, and by which of its terms."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from rules.dialect.fields import span_field
from rules.dialect.nodes import Field, Literal_, Logic, Node, Over, walk
from rules.matcher import values as v
from rules.matcher.evaluate import Evaluation

MOST = 20  # items that are named
# What tells one item from another: the columns are read beside those of the condition.
_SHOWN = {
    "spans": tuple(
        (name, field)
        for name in ("name", "type", "status", "span_id")
        if (field := span_field((name,))) is not None
    ),
    "assessments": (
        ("name", Field("name", "text", "assessments", ("assessments.assessment_name",), "text")),
    ),
}


def shown_columns(node: Node) -> tuple[str, ...]:
    """The raw columns that name the items which the conditions in a tree are about."""
    scopes = {part.scope for part in walk(node) if isinstance(part, Over)}
    return tuple(raw for scope in sorted(scopes) for _, field in _SHOWN.get(scope, ()) for raw in field.raw)


def deciding(batch: Evaluation, over: Over) -> list[dict[str, Any]]:
    """The items of a batch of one row that make ``over`` what it is, at most :data:`MOST`: those for which
    its condition is TRUE, of ``all`` those for which it is not.

    Each has what names it (of a span ``name``, ``type``, ``status``, ``span_id``), the terms by which it
    meets the condition or not (``terms``), and the values that these read.
    """
    holds = batch.where(over.condition, True, over.scope)
    chosen = np.flatnonzero(~holds if over.op == "all" else holds)
    return [_item(batch, over, int(index)) for index in chosen[:MOST]]


def _item(batch: Evaluation, over: Over, index: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, field in _SHOWN.get(over.scope, ()):
        if all(batch.has(raw) for raw in field.raw):
            found[name] = shown(batch.value(field, over.scope), index)
    terms = list(_terms(batch, over.condition, index, over.scope))
    fields = dict.fromkeys(part for term in terms for part in walk(term) if isinstance(part, Field))
    values = {
        str(field): shown(batch.value(field, over.scope), index) for field in fields if field.type != "time"
    }
    return {**found, "terms": [str(term) for term in terms], "values": values}


def _terms(batch: Evaluation, node: Node, index: int, scope: str) -> Iterator[Node]:
    """The terms by which a condition is TRUE for an item, or is not."""
    if isinstance(node, Logic):
        truth = batch.result(node, index, scope) is True
        for part in node.parts:
            if (batch.result(part, index, scope) is True) is truth:
                yield from _terms(batch, part, index, scope)
    elif not isinstance(node, Literal_):
        yield node


def shown(value: v.Texts | v.Numbers, index: int = 0) -> Any:
    """One value as plain JSON data."""
    if isinstance(value, v.Texts):
        return value.words[value.codes[index]] if value.known[index] else None
    number = float(value[index])
    if math.isinf(number):  # JSON has no such number
        return "Infinity" if number > 0 else "-Infinity"
    return None if math.isnan(number) else number
