"""Why a condition did or did not match one trace: every part with its value, from the evaluation that
production uses.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from rules.dialect import Condition
from rules.dialect.nodes import Arithmetic, Call, Compare, Field, IsNull, Logic, Matches, Node, Not, Over
from rules.dialect.types import type_of
from rules.matcher import values as v
from rules.matcher.evaluate import Evaluation, Value


def explain(condition: Condition, table: pa.Table) -> dict[str, Any]:
    """The condition on a table of one row, as ``{matched, text, result, values, decided_by, parts}``, with
    ``parts`` nested like the condition.

    ``result`` is True, False or None (null); ``decided_by`` are the parts whose result made it so. No content
    of a trace raises an error; it costs one evaluation.
    """
    explained = _part(Evaluation(table), condition.node)
    parts = explained.get("parts", [])
    return {"matched": explained["result"], **explained, "text": condition.text, "parts": parts}


def _part(batch: Evaluation, node: Node) -> dict[str, Any]:
    result = batch.result(node)
    explained: dict[str, Any] = {"text": str(node), "result": result}
    if isinstance(node, Logic):
        explained["parts"] = [_part(batch, part) for part in node.parts]
        deciding = [part for part in explained["parts"] if part["result"] == result]
        explained["decided_by"] = [part["text"] for part in deciding]
    elif isinstance(node, Not):
        explained["parts"] = [_part(batch, node.part)]
    elif isinstance(node, Over):
        explained["values"] = {
            "spans": batch.size(node.scope),
            "matching": int(batch.where(node.condition, True, node.scope).sum()),
        }
    else:
        explained["values"] = {str(field): _show(batch.value(field)) for field in _operands(node)}
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


def _show(value: Value) -> Any:
    if isinstance(value, v.Texts):
        return value.words[value.codes[0]] if value.known[0] else None
    return None if np.isnan(value[0]) else float(value[0])
