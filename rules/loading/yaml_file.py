"""YAML whose values remember where they stand: safe loading with the line and column of every key and value.

A file has at most 1 MB, is at most 64 deep, and has no aliases (they can make a small file huge) and no key
twice.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import yaml

from rules.diagnostics import Diagnostic, Path, Place

MAX_BYTES = 1_000_000
MAX_DEPTH = 64
_OPENS = (
    yaml.FlowSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.BlockMappingStartToken,
)
_CLOSES = (yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken, yaml.BlockEndToken)
_ESCAPE = re.compile(r"\\(x..|u.{4}|U.{8}|\n[ \t]*|.)", re.DOTALL)
_KEY = re.compile(r"(?:^|[\s{,])([A-Za-z_]+):(?=\s)", re.MULTILINE)
_COMMENT = re.compile(r"[ \t]+#")
QUOTE_IT = "quote the condition, or write it on the lines below `KEY: |`"
_FOLD = re.compile(r"[ \t]*\n[ \t\n]*")


@dataclass
class YamlFile:
    """One loaded file: its plain data, and the place of each key and value by path."""

    name: str
    data: Any
    text: str = ""
    keys: dict[Path, Place] = field(default_factory=dict)
    values: dict[Path, Place] = field(default_factory=dict)
    scalars: dict[Path, yaml.ScalarNode] = field(default_factory=dict)

    def place(self, path: Path) -> Place:
        """The place of the deepest known part of ``path``: its key, else its value."""
        for length in range(len(path), -1, -1):
            if (found := self.keys.get(path[:length]) or self.values.get(path[:length])) is not None:
                return found
        return Place(self.name, 1, 1)

    def comment_follows(self, path: Path) -> bool:
        """Whether YAML ended the plain text at ``path`` at a ``#``."""
        node = self.scalars.get(path)
        return bool(node is not None and not node.style and _COMMENT.match(self.text, node.end_mark.index))

    def place_inside(self, path: Path, line: int, column: int) -> Place:
        """The place in the file of a line and column (from 1) inside the text value at ``path``.

        It is right whichever way YAML wrote the text: plain, quoted or as a block.
        """
        node = self.scalars.get(path)
        if node is None:
            return self.values.get(path, Place(self.name, 1, 1))
        offset = sum(len(part) + 1 for part in node.value.split("\n")[: line - 1]) + column - 1
        indexes_of = _block_indexes if node.style in ("|", ">") else _flow_indexes
        indexes = indexes_of(self.text, node)
        index = indexes[min(offset, len(indexes) - 1)]
        lines_before = self.text.count("\n", 0, index)
        return Place(self.name, lines_before + 1, index - (self.text.rfind("\n", 0, index) + 1) + 1)


def load(name: str, text: str, conditions: Collection[str] = ()) -> tuple[YamlFile | None, list[Diagnostic]]:
    """Load one file; one that is not usable YAML gives diagnostics and no file.

    ``conditions`` are the keys whose values are conditions, for a hint where YAML cannot read one.
    """
    if len(text.encode()) > MAX_BYTES:
        return None, [_fault(Place(name, 1, 1), "too-large", f"a rule file has at most {MAX_BYTES} bytes")]
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    try:
        if (fault := _forbidden(name, text)) is not None:
            return None, [fault]
        file, faults = YamlFile(name, None, text), list[Diagnostic]()
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        file.data = _plain(root, (), file, faults) if root is not None else None
    except yaml.YAMLError as error:
        line, column, problem = fault_of(error)
        hint = QUOTE_IT if _inside_condition(text, error, conditions) else ""
        return None, [_fault(Place(name, line, column), "yaml", problem, hint)]
    return file, faults


def _inside_condition(text: str, error: yaml.YAMLError, conditions: Collection[str]) -> bool:
    """Whether the last key before an error is one that holds a condition."""
    mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
    keys = _KEY.findall(text, 0, mark.index) if mark is not None else []
    return bool(keys) and keys[-1] in conditions


def fault_of(error: yaml.YAMLError) -> tuple[int, int, str]:
    """Line and column (from 1) of an error of YAML, and what it is; 1, 1 where it is nowhere."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return 1, 1, "is not YAML"
    mark = error.problem_mark
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
    return line, column, error.problem or "is not YAML"


def _forbidden(name: str, text: str) -> Diagnostic | None:
    """What makes a file costly to compose.

    Composing is recursive, and scanning takes time that grows with the square of the depth: a file that is
    too deep is refused at the token where it becomes so.
    """
    depth = 0
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        depth += isinstance(token, _OPENS) - isinstance(token, _CLOSES)
        if depth > MAX_DEPTH:
            place = Place(name, token.start_mark.line + 1, 1)
            return _fault(place, "yaml", f"is nested more than {MAX_DEPTH} deep")
        if isinstance(token, yaml.AliasToken):
            place = _place(name, token.start_mark)
            return _fault(place, "yaml", "aliases (`*name`) are not allowed", "write the value out")
    return None


def _fault(place: Place, code: str, message: str, hint: str = "") -> Diagnostic:
    return Diagnostic(code, message, hint).at(place)


def _place(name: str, mark: Any) -> Place:
    return Place(name, mark.line + 1, mark.column + 1)


def _plain(node: yaml.Node, path: Path, file: YamlFile, faults: list[Diagnostic]) -> Any:
    """The plain data of a node; the places of all that is in it are noted in ``file``."""
    file.values[path] = _place(file.name, node.start_mark)
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for key, value in node.value:
            name = str(key.value)
            place = _place(file.name, key.start_mark)
            if name in result:
                faults.append(_fault(place, "duplicate-key", f"`{name}` is given twice", "remove one"))
            file.keys[(*path, name)] = place
            result[name] = _plain(value, (*path, name), file, faults)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*path, index), file, faults) for index, item in enumerate(node.value)]
    assert isinstance(node, yaml.ScalarNode)
    file.scalars[path] = node
    if node.tag == "tag:yaml.org,2002:str":
        return node.value
    try:
        return yaml.SafeLoader("").construct_object(node)
    except ValueError as error:  # a date that is none, such as 2026-13-40
        raise yaml.constructor.ConstructorError(None, None, str(error), node.start_mark) from error


def _flow_indexes(text: str, node: yaml.ScalarNode) -> list[int]:
    """The index in the file of each character of a plain or quoted scalar, and of its end."""
    start, end = node.start_mark.index, node.end_mark.index
    if node.style in ("'", '"'):
        start, end = start + 1, end - 1
    indexes, at = [], start
    while at < end:
        if fold := _FOLD.match(text, at, end):
            indexes += [at] * max(1, fold[0].count("\n") - 1)
            at = fold.end()
        elif node.style == '"' and (escape := _ESCAPE.match(text, at, end)):
            indexes += [] if escape[1].startswith("\n") else [at]
            at = escape.end()
        else:
            indexes.append(at)
            at += 2 if node.style == "'" and text.startswith("''", at) else 1
    return [*indexes, end]


def _block_indexes(text: str, node: yaml.ScalarNode) -> list[int]:
    """The same for a block scalar.

    Its lines begin below its header; the indentation of its first line is that of all lines and no part of
    the value.
    """
    at = text.find("\n", node.start_mark.index) + 1
    end = node.end_mark.index
    first = re.compile(r"(?:[ \t]*\n)*( *)").match(text, at, end)
    indent = len(first[1]) if first else 0
    indexes: list[int] = []
    while at < end:
        stop = text.find("\n", at, end)
        stop = end if stop < 0 else stop
        indexes += range(min(at + indent, stop), stop + 1)
        at = stop + 1
    if not indexes:
        return [end]
    # Where `>` drops a line break that it otherwise turns into a space, the index is a line off at most.
    last = indexes[min(len(node.value.rstrip("\n")), len(indexes) - 1)]
    return [*indexes[: len(node.value)], last]
