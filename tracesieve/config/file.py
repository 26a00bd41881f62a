"""A config file: its data, the lines of its keys, and what is wrong with it as diagnostics."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from rules.diagnostics import Diagnostic
from rules.diagnostics import Path as KeyPath
from rules.loading.yaml_file import QUOTE_IT, YamlFile, fault_of
from tracesieve.errors import ConfigError
from tracesieve.terminal import pointed

_EVERY_KEY = "`tracesieve init` writes a config with every key"


@dataclass(frozen=True)
class ConfigFile:
    """One file that has been read; ``root`` are the nodes of its YAML."""

    name: str
    root: yaml.Node
    data: dict[str, Any]
    text: str = ""

    @classmethod
    def read(cls, path: str | Path) -> ConfigFile:
        """Read a file.

        Raises:
            ConfigError: it is missing, is not YAML, or is not a mapping.
        """
        name = str(path)
        try:
            text = Path(path).read_text(encoding="utf-8")
        except OSError as error:
            hint = "write one with `tracesieve init`, or name another with -c"
            raise ConfigError([_whole(name, 1, f"cannot be read: {error.strerror}", hint)]) from error
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
            data = yaml.safe_load(text)
        except yaml.YAMLError as error:
            line, _, problem = fault_of(error)
            raise ConfigError([_whole(name, line, f"YAML: {problem}")]) from error
        except RecursionError as error:
            raise ConfigError([_whole(name, 1, "is nested too deep to be a config")]) from error
        if not isinstance(data, dict) or root is None:
            raise ConfigError([_whole(name, 1, "is not a mapping of keys", "start with `source:`")])
        return cls(name, root, data, text)

    def repeated_keys(self) -> list[Diagnostic]:
        """Keys that are given twice in one mapping, of which YAML would take the last."""
        return [
            Diagnostic("", "is given twice", "remove one", path=path, file=self.name, line=line)
            for path, line in _repeated(self.root, ())
        ]

    def fault(self, loc: Sequence[str], message: str, hint: str = "") -> Diagnostic:
        """What is wrong at a key.

        Parts of ``loc`` that the file does not have are left out: those that pydantic adds, such as the kind
        of a union.
        """
        parts, line = self._found(loc)
        return Diagnostic("", message, hint, path=tuple(parts or loc), file=self.name, line=line)

    def inside(self, loc: Sequence[str], faults: Sequence[Diagnostic]) -> Iterator[Diagnostic]:
        """What is wrong inside the text at a key, whose places count in that text."""
        parts, node = self.path_of(loc), self.root
        for part in parts:
            if (child := _child(node, part)) is not None:
                node = child[1]
        path: KeyPath = tuple(parts)
        scalars: dict[KeyPath, yaml.ScalarNode] = {path: node} if isinstance(node, yaml.ScalarNode) else {}
        file = YamlFile(self.name, self.data, self.text, scalars=scalars)
        for one in faults:
            place = file.place_inside(path, one.line, one.column)
            hint = f"YAML takes what follows ` #` for a comment; {QUOTE_IT}"
            is_cut = one.code == "syntax" and file.comment_follows(path)
            yield replace(one.at(place), code="", path=path, hint=hint if is_cut else one.hint)

    def shown(self, fault: Diagnostic) -> list[str]:
        """A fault as lines for people; one that has a column with its line of the file and a caret."""
        caret = pointed(self.text.split("\n")[fault.line - 1], fault.column) if fault.column else []
        return [str(fault), *caret]

    def missing_key(self, loc: Sequence[str]) -> Diagnostic:
        """A key that is required and not there."""
        parts, line = self._found(loc)
        return Diagnostic("", "is required", path=(*parts, loc[-1]), file=self.name, line=line)

    def unknown_key(self, loc: Sequence[str], paths: Collection[str]) -> Diagnostic:
        """A key that the config does not have here, with a hint at the one that may be meant."""
        near = nearest_keys(self.path_of(loc) or loc, paths)
        hint = f"did you mean `{'` or `'.join(near)}`?" if near else _EVERY_KEY
        return self.fault(loc, "unknown key", hint)

    def path_of(self, loc: Sequence[str]) -> list[str]:
        """The parts of ``loc`` that the file has."""
        return self._found(loc)[0]

    def _found(self, loc: Sequence[str]) -> tuple[list[str], int]:
        """The parts of ``loc`` that the file has, and the line of the last of them."""
        node, line = self.root, 1
        found: list[str] = []
        for part in loc:
            if (child := _child(node, part)) is not None:
                key, node = child
                line, found = key.start_mark.line + 1, [*found, part]
        return found, line


def nearest_keys(loc: Sequence[str], paths: Collection[str]) -> list[str]:
    """The keys that an unknown one at ``loc`` may stand for: one of nearly the same name beside it, those of
    the same name in other parts, or one of nearly the same name anywhere.

    ``paths`` is every key of the config, as ``part.key``; a key beside it is given by its name alone.
    """
    beside = {last_part(one) for one in paths if one.split(".")[:-1] == list(loc[:-1])}
    return (
        difflib.get_close_matches(loc[-1], beside, 1, 0.75)
        or [one for one in paths if last_part(one) == loc[-1]]
        or difflib.get_close_matches(loc[-1], {last_part(one) for one in paths}, 1, 0.75)
    )


def last_part(path: str) -> str:
    """The name of a key, of its path."""
    return path.rpartition(".")[2]


def _whole(name: str, line: int, message: str, hint: str = "") -> Diagnostic:
    """What is wrong with a file as a whole."""
    return Diagnostic("", message, hint, file=name, line=line)


def _repeated(node: yaml.Node, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], int]]:
    seen: set[str] = set()
    for number, child in enumerate(node.value if isinstance(node, yaml.CollectionNode) else []):
        if isinstance(node, yaml.SequenceNode):
            yield from _repeated(child, (*path, str(number)))
            continue
        key, value = child
        name = str(key.value)
        if name in seen:
            yield (*path, name), key.start_mark.line + 1
        seen.add(name)
        yield from _repeated(value, (*path, name))


def _child(node: yaml.Node, part: str) -> tuple[yaml.Node, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        return next(((key, value) for key, value in node.value if key.value == part), None)
    if isinstance(node, yaml.SequenceNode) and part.isdigit() and int(part) < len(node.value):
        return node.value[int(part)], node.value[int(part)]
    return None
