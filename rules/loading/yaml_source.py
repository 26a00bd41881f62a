"""YAML whose values remember where they stand: safe loading with the line and column of every key and value.

A file has at most 1 MB, is at most 64 deep, and has no aliases (they can make a small file huge) and no key
twice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from rules.errors import Finding

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
_FOLD = re.compile(r"[ \t]*\n[ \t\n]*")
Path_ = tuple[str | int, ...]


@dataclass
class Source:
    """One loaded file: its plain data, and the mark of each key and value by path."""

    file: str
    data: Any
    text: str = ""
    keys: dict[Path_, tuple[int, int]] = field(default_factory=dict)
    values: dict[Path_, tuple[int, int]] = field(default_factory=dict)
    scalars: dict[Path_, yaml.ScalarNode] = field(default_factory=dict)

    def at(self, path: Path_) -> tuple[int, int]:
        """Line and column, from 1, of the deepest known part of ``path``: its key, else its value."""
        for length in range(len(path), -1, -1):
            if (found := self.keys.get(path[:length]) or self.values.get(path[:length])) is not None:
                return found
        return 1, 1

    def inside(self, path: Path_, line: int, column: int) -> tuple[int, int]:
        """The place in the file of a place (from 1) inside the text value at ``path``, whichever way YAML
        wrote it.
        """
        node = self.scalars.get(path)
        if node is None:
            return self.values.get(path, (1, 1))
        offset = sum(len(part) + 1 for part in node.value.split("\n")[: line - 1]) + column - 1
        places = _block_places(self.text, node) if node.style in ("|", ">") else _flow_places(self.text, node)
        place = places[min(offset, len(places) - 1)]
        return self.text.count("\n", 0, place) + 1, place - (self.text.rfind("\n", 0, place) + 1) + 1


def _flow_places(text: str, node: yaml.ScalarNode) -> list[int]:
    """The index in the file of each character of a plain or quoted scalar, and of its end."""
    start, end = node.start_mark.index, node.end_mark.index
    if node.style in ("'", '"'):
        start, end = start + 1, end - 1
    places, at = [], start
    while at < end:
        if fold := _FOLD.match(text, at, end):
            places += [at] * max(1, fold[0].count("\n") - 1)
            at = fold.end()
        elif node.style == '"' and (escape := _ESCAPE.match(text, at, end)):
            places += [] if escape[1].startswith("\n") else [at]
            at = escape.end()
        else:
            places.append(at)
            at += 2 if node.style == "'" and text.startswith("''", at) else 1
    return [*places, end]


def _block_places(text: str, node: yaml.ScalarNode) -> list[int]:
    """The same for a block scalar: its lines begin below its header, and its first line's indentation is not
    its own.
    """
    at = text.find("\n", node.start_mark.index) + 1
    end = node.end_mark.index
    first = re.compile(r"(?:[ \t]*\n)*( *)").match(text, at, end)
    indent = len(first[1]) if first else 0
    places: list[int] = []
    while at < end:
        stop = text.find("\n", at, end)
        stop = end if stop < 0 else stop
        places += range(min(at + indent, stop), stop + 1)
        at = stop + 1
    if not places:
        return [end]
    # Where `>` drops a line break that it otherwise turns into a space, the place is a line off at most.
    last = places[min(len(node.value.rstrip("\n")), len(places) - 1)]
    return [*places[: len(node.value)], last]


def load(file: str, text: str) -> tuple[Source | None, list[Finding]]:
    """Load one file; a file that is not usable YAML gives findings and no source."""
    if len(text.encode()) > MAX_BYTES:
        return None, [Finding(file, 1, 1, "too-large", f"a rule file has at most {MAX_BYTES} bytes")]
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    source = Source(file, None, text)
    findings: list[Finding] = []
    try:
        depth = 0
        for token in yaml.scan(text, Loader=yaml.SafeLoader):
            depth += isinstance(token, _OPENS) - isinstance(token, _CLOSES)
            if (
                depth > MAX_DEPTH
            ):  # composing is recursive, and scanning takes time that grows with the square of the depth
                return None, [
                    Finding(
                        file, token.start_mark.line + 1, 1, "yaml", f"is nested more than {MAX_DEPTH} deep"
                    )
                ]
            if isinstance(token, yaml.AliasToken):
                line, column = token.start_mark.line + 1, token.start_mark.column + 1
                return None, [
                    Finding(
                        file, line, column, "yaml", "aliases (`*name`) are not allowed", "write the value out"
                    )
                ]
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        source.data = _plain(root, (), source, findings) if root is not None else None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        return None, [Finding(file, line, column, "yaml", getattr(error, "problem", None) or "is not YAML")]
    return source, findings


def _plain(node: yaml.Node, path: Path_, source: Source, findings: list[Finding]) -> Any:
    source.values[path] = (node.start_mark.line + 1, node.start_mark.column + 1)
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for key, value in node.value:
            name = str(key.value)
            where = (key.start_mark.line + 1, key.start_mark.column + 1)
            if name in result:
                findings.append(
                    Finding(source.file, *where, "duplicate-key", f"`{name}` is given twice", "remove one")
                )
            source.keys[(*path, name)] = where
            result[name] = _plain(value, (*path, name), source, findings)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*path, index), source, findings) for index, item in enumerate(node.value)]
    assert isinstance(node, yaml.ScalarNode)
    source.scalars[path] = node
    if node.tag == "tag:yaml.org,2002:str":
        return node.value
    try:
        return yaml.SafeLoader("").construct_object(node)
    except ValueError as error:  # a date that is none, such as 2026-13-40
        raise yaml.constructor.ConstructorError(None, None, str(error), node.start_mark) from error
