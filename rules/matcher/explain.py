"""Why a condition did or did not match one trace: every part with its value, from the evaluation that
production uses.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from rules.dialect import Condition
from rules.dialect.nodes import (
    Arithmetic,
    Call,
    Compare,
    Field,
    IsNull,
    Logic,
    Matches,
    Node,
    Not,
    Over,
    walk,
)
from rules.dialect.types import type_of
from rules.matcher.deciding import deciding, shown, shown_columns
from rules.matcher.evaluate import Evaluation


def explained_columns(condition: Condition) -> tuple[str, ...]:
    """The raw columns that :func:`explain` reads: those of the condition, and those that name spans."""
    return tuple(dict.fromkeys((*condition.columns, *shown_columns(condition.node))))


def explain(condition: Condition, table: pa.Table) -> dict[str, Any]:
    """The condition on a table of one row, as ``{matched, text, result, values, decided_by, parts, spans}``,
    with ``parts`` nested like the condition.

    ``result`` is True, False or None (null); ``decided_by`` are the parts whose result made it so; ``spans``
    (or ``assessments``) are those of the trace that did (:func:`rules.matcher.deciding.deciding`), named as
    far as ``table`` has :func:`explained_columns`. No content of a trace raises an error; it costs one
    evaluation.
    """
    explained = _part(Evaluation(table), condition.node)
    parts = explained.get("parts", [])
    return {"matched": explained["result"], **explained, "text": condition.text, "parts": parts}


def _part(batch: Evaluation, node: Node) -> dict[str, Any]:
    result = batch.result(node)
    explained: dict[str, Any] = {"text": str(node), "result": result}
    if isinstance(node, Logic):
        explained["parts"] = [_part(batch, part) for part in node.parts]
        decided = [part for part in explained["parts"] if part["result"] == result]
        explained["decided_by"] = [part["text"] for part in decided]
        return explained
    if isinstance(node, Not):
        explained["parts"] = [_part(batch, node.part)]
        return explained
    if isinstance(node, Over):
        matching = int(batch.where(node.condition, True, node.scope).sum())
        explained["values"] = {"spans": batch.size(node.scope), "matching": matching}
    else:
        explained["values"] = {str(field): shown(batch.value(field)) for field in _operands(node)}
    for over in walk(node):
        if isinstance(over, Over):
            explained.setdefault(over.scope, []).extend(deciding(batch, over))
    return explained


def _operands(node: Node) -> list[Node]:
    if isinstance(node, Field | Over):
        return [node]
    if isinstance(node, Compare | Arithmetic):
        return _operands(node.left) + _operands(node.right)
    if isinstance(node, Matches | IsNull):
        return _operands(node.left)
    if isinstance(node, Call):
        # A time as a number says nothing to a reader; what a function makes of it does.
        return [node, *(part for one in node.arguments for part in _operands(one) if type_of(part) != "time")]
    return []
