"""What is wrong with a config, as lines of the file or as environment variables: from what pydantic found to
what a person reads.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection, Sequence
from typing import Any, get_args

import yaml
from pydantic import BaseModel

from rules.diagnostics import Diagnostic

_EVERY_KEY = "`tracesieve init` writes a config with every key"


def without_other_form(items: list[Any]) -> list[Any]:
    """Without "should be a string" for a mapping with errors of its own, where a key takes a text as well."""
    tried = {item["loc"][:-1] for item in items if item["loc"][-1:] == ("str",)}
    mappings = {item["loc"][: len(loc)] for item in items for loc in tried if item["loc"][-1] != "str"}
    return [item for item in items if not (item["loc"][-1:] == ("str",) and item["loc"][:-1] in mappings)]


def diagnostic(path: str, root: yaml.Node, item: Any, paths: Collection[str]) -> Diagnostic:
    """One pydantic error as a line of the file or an environment variable.

    Tags of unions stand in its location and not in the file: they are stepped over.

    ``paths`` is every key of the config, as ``part.key``.
    """
    loc = [str(part) for part in item["loc"]]
    message = item["msg"].removeprefix("Value error, ")
    tag = item.get("ctx", {}).get("discriminator", "").strip("'")
    if named := variable([*loc, tag] if tag else loc):
        return of_variable(named, "unknown key" if item["type"] == "extra_forbidden" else message)
    if item["type"] == "extra_forbidden":
        return unknown_key(path, root, loc, paths)
    parts, line = found_parts(root, loc)
    if item["type"] == "missing":
        return of_file(path, line, [*parts, loc[-1]], "is required")
    return of_file(path, line, parts or loc, message)


def of_file(path: str, line: int, parts: Sequence[str], message: str, hint: str = "") -> Diagnostic:
    """What is wrong at a key of the config file; no ``parts``: with the file as a whole."""
    return Diagnostic("", message, hint, path=tuple(parts), file=path, line=line)


def of_variable(name: str, message: str, hint: str = "") -> Diagnostic:
    """What is wrong with an environment variable."""
    return Diagnostic("", message, hint, file=name)


def unknown_key(path: str, root: yaml.Node, loc: list[str], paths: Collection[str]) -> Diagnostic:
    """A key that the config does not have here, with the one that was meant: one of nearly that name beside
    it, one of that name in another part, or one of nearly that name anywhere.
    """
    named, line = found_parts(root, loc)
    beside = {_name(one) for one in paths if one.split(".")[:-1] == named[:-1]}
    elsewhere = [one for one in paths if _name(one) == loc[-1]]
    near = (
        difflib.get_close_matches(loc[-1], beside, 1, 0.75)
        or elsewhere
        or difflib.get_close_matches(loc[-1], {_name(one) for one in paths}, 1, 0.75)
    )
    hint = f"did you mean `{'` or `'.join(near)}`?" if near else _EVERY_KEY
    return of_file(path, line, named, "unknown key", hint)


def misspelt_variables(paths: Collection[str]) -> list[Diagnostic]:
    """Variables that nearly name a key, or one without the part that it stands in; others with our prefix may
    well be secrets, which have any name.
    """
    known = {path for path in paths if "." not in path}
    found = []
    for name in sorted(os.environ):
        key = name.removeprefix("TRACESIEVE_").split("__")[0].lower()
        if not name.startswith("TRACESIEVE_") or key in known:
            continue
        meant = [path for path in paths if _name(path) == key]
        for one in meant or difflib.get_close_matches(key, known, 1, 0.8):
            hint = f"did you mean `TRACESIEVE_{one.upper().replace('.', '__')}`?"
            found.append(of_variable(name, "sets no key", hint))
    return found


def _name(path: str) -> str:
    return path.rpartition(".")[2]


def model_parts(model: type[BaseModel]) -> list[type[BaseModel]]:
    """A model and every model that its fields hold, each once."""
    found = [model]
    todo = [field.annotation for field in model.model_fields.values()]
    while todo:
        kind = todo.pop()
        todo += get_args(kind)
        if isinstance(kind, type) and issubclass(kind, BaseModel) and kind not in found:
            found.append(kind)
            todo += [field.annotation for field in kind.model_fields.values()]
    return found


def variable(loc: list[str]) -> str | None:
    """The environment variable that set the key at ``loc`` or a part above it, as it is spelled there."""
    there = {name.upper(): name for name in os.environ}
    paths = [
        [part for index, part in enumerate(loc) if index != skipped] for skipped in (None, 1)
    ]  # 1: a union's tag
    for path in paths:
        for depth in range(len(path), 0, -1):
            name = "TRACESIEVE_" + "__".join(path[:depth]).upper()
            if name in there:
                return there[name]
    return None


def found_parts(root: yaml.Node, loc: list[str]) -> tuple[list[str], int]:
    """The parts of ``loc`` that the file has, and the line of the last of them."""
    node, line = root, 1
    named: list[str] = []
    for part in loc:
        if (found := _child(node, part)) is not None:
            key, node = found
            line, named = key.start_mark.line + 1, [*named, part]
    return named, line


def _child(node: yaml.Node, part: str) -> tuple[yaml.Node, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        return next(((key, value) for key, value in node.value if key.value == part), None)
    if isinstance(node, yaml.SequenceNode) and part.isdigit() and int(part) < len(node.value):
        return node.value[int(part)], node.value[int(part)]
    return None
