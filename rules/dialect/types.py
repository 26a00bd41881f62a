"""What a part of a condition is: its type, and the scopes of the fields in it that nothing has bound yet."""

from __future__ import annotations

from rules.dialect.nodes import Arithmetic, Call, Field, IsNull, Literal_, Node, Not, Over, Type, parts_of


def type_of(node: Node) -> Type:
    """What a node's value is."""
    if isinstance(node, Field | Call):
        return node.type
    if isinstance(node, Literal_):
        if node.value is None:
            return "null"
        return (
            "truth" if isinstance(node.value, bool) else "text" if isinstance(node.value, str) else "number"
        )
    if isinstance(node, Arithmetic) or (isinstance(node, Over) and node.op not in ("any", "all")):
        return "number"
    return "truth"


def scopes_of(node: Node) -> set[str]:
    """The scopes of the fields that are not yet bound by an ``any`` or its kin."""
    if isinstance(node, Over):
        return {"trace"}
    if isinstance(node, Field):
        return {node.scope}
    return {scope for part in parts_of(node) for scope in scopes_of(part)}


def any_assessment(part: Node) -> Node:
    """A term on an assessment holds if any of several has it; ``IS NULL`` holds if there is none of that
    name.
    """
    if scopes_of(part) != {"assessments"} or type_of(part) != "truth":
        return part
    if isinstance(part, IsNull):
        return Not(Over("any", "assessments", Not(part)))
    return Over("any", "assessments", part)
