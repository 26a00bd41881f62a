"""YAML whose values remember where they stand: safe loading with the line and column of every key and value.

A file has at most 1 MB, no aliases (they can make a small file huge) and no key twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import yaml

from rules.errors import Finding

MAX_BYTES = 1_000_000
Path_ = tuple[str | int, ...]


@dataclass
class Source:
    """One loaded file: its plain data, and the mark of each key and value by path."""

    file: str
    data: Any
    text: str = ""
    keys: dict[Path_, tuple[int, int]] = field(default_factory=dict)
    values: dict[Path_, tuple[int, int]] = field(default_factory=dict)
    blocks: set[Path_] = field(default_factory=set)

    def at(self, path: Path_) -> tuple[int, int]:
        """Line and column, from 1, of the deepest known part of ``path``: its key, else its value."""
        for length in range(len(path), -1, -1):
            if (found := self.keys.get(path[:length]) or self.values.get(path[:length])) is not None:
                return found
        return 1, 1

    def inside(self, path: Path_, line: int, column: int) -> tuple[int, int]:
        """The place in the file of a place inside the text value at ``path`` (a block's text starts a line later)."""
        first, indent = self.values.get(path, (1, 1))
        if path in self.blocks:
            row = first + line
            lines = self.text.splitlines()
            spaces = len(lines[row - 1]) - len(lines[row - 1].lstrip()) if row <= len(lines) else 0
            return row, spaces + column
        quoted = self.text.splitlines()[first - 1][indent - 1 : indent] in ("'", '"')
        return (first, indent + column - 1 + quoted) if line == 1 else (first + line - 1, column)


def load(file: str, text: str) -> tuple[Source | None, list[Finding]]:
    """Load one file; a file that is not usable YAML gives findings and no source."""
    if len(text.encode()) > MAX_BYTES:
        return None, [Finding(file, 1, 1, "too-large", f"a rule file has at most {MAX_BYTES} bytes")]
    try:
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text, Loader=yaml.SafeLoader)):
            return None, [Finding(file, 1, 1, "yaml", "aliases (`*name`) are not allowed", "write the value out")]
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        return None, [Finding(file, line, column, "yaml", getattr(error, "problem", None) or "is not YAML")]
    source = Source(file, None, text)
    findings: list[Finding] = []
    source.data = _plain(root, (), source, findings) if root is not None else None
    return source, findings


def _plain(node: yaml.Node, path: Path_, source: Source, findings: list[Finding]) -> Any:
    source.values[path] = (node.start_mark.line + 1, node.start_mark.column + 1)
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for key, value in node.value:
            name = str(key.value)
            where = (key.start_mark.line + 1, key.start_mark.column + 1)
            if name in result:
                findings.append(Finding(source.file, *where, "duplicate-key", f"`{name}` is given twice", "remove one"))
            source.keys[(*path, name)] = where
            result[name] = _plain(value, (*path, name), source, findings)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*path, index), source, findings) for index, item in enumerate(node.value)]
    if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">"):
        source.blocks.add(path)
    return yaml.SafeLoader("").construct_object(node) if node.tag != "tag:yaml.org,2002:str" else node.value
