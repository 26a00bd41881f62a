"""Values that YAML 1.1 reads as something else than is written: ``no`` is false, ``1.10`` is 1.1, ``12:30``
is 750, ``2026-01-31`` is a date.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

import yaml

from rules.diagnostics import Path
from rules.loading.yaml_file import YamlFile

_DECIMAL = re.compile(r"[-+]?[0-9]*\.?[0-9]+")


def hint_to_quote(file: YamlFile, path: Path) -> str:
    """How to write a value that was meant as a text; empty where YAML reads it as one."""
    node = file.scalars.get(path)
    if node is None or not _is_read(node):
        return ""
    value = yaml.SafeLoader("").construct_object(node)
    if _shown(value) == node.value:
        return f"quote it: '{node.value}'"
    return f"YAML reads `{node.value}` as {_shown(value)}: write '{node.value}'"


def read_otherwise(file: YamlFile, path: Path, value: Any) -> Iterator[Path]:
    """The places under ``path`` whose value, as a text, is not what is written there."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from read_otherwise(file, (*path, key), inner)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from read_otherwise(file, (*path, index), inner)
    else:
        node = file.scalars.get(path)
        if node is not None and _is_read(node) and node.value and _shown(value) != node.value.lower():
            yield path


def is_plain_number(file: YamlFile, path: Path) -> bool:
    """Whether a number is written with digits and a point alone; it is the same number however it is read."""
    node = file.scalars.get(path)
    return node is not None and _DECIMAL.fullmatch(node.value) is not None and "." in node.value


def _is_read(node: yaml.ScalarNode) -> bool:
    """Whether YAML makes something else than a text of it, and not because a tag or a null says so."""
    return not node.style and node.tag not in ("tag:yaml.org,2002:str", "tag:yaml.org,2002:null")


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return "a time"
    return "a date" if isinstance(value, date) else str(value)
