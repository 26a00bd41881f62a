"""What is wrong with a value, in words: every kind of error that pydantic has, every key of every rule."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from pydantic_core import core_schema

from rules.kinds import all_kinds
from rules.loading.expected import expected
from rules.loading.packs import load_packs

JARGON = re.compile(
    r"\^|\\|pattern|Input should|valid (dictionary|list|string|tuple)|pydantic|https://errors|None\b|True\b|False\b"
)
WRONG: list[Any] = [-1, 1.5, True, None, "", "what is this?", [], [1], [{"a": 1}], {}, {"a": 1}]
GOOD: dict[str, dict[str, Any]] = {
    "trace": {"id": "a", "when": "status = 'ERROR'", "tag": "t"},
    "window": {"id": "w", "window": {"size": "5m"}, "fire": "error_rate > 0.1"},
}
CONTEXT = {
    "ge": 1, "gt": 1, "le": 1, "lt": 1, "multiple_of": 2, "min_length": 1, "max_length": 3,
    "expected": "'a' or 'b'", "expected_tags": "'a', 'b'", "discriminator": "'kind'", "tag": "x",
    "pattern": "^a$",
}  # fmt: skip


@pytest.mark.parametrize("kind", get_args(core_schema.ErrorType))
def test_every_kind_of_error_has_words(kind: str) -> None:
    message = expected([{"type": kind, "input": "x", "ctx": CONTEXT, "msg": "Input should match '^a$'"}])
    assert message.endswith("is expected, not 'x'") and not JARGON.search(message)


def model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for one in get_args(annotation) if (found := model_in(one))), None)


def keys(model: type[BaseModel], above: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    for name, info in model.model_fields.items():
        path = (*above, info.alias or name)
        yield path
        if inner := model_in(info.annotation):
            yield from keys(inner, (*path, 0) if "list" in str(info.annotation) else path)


def with_value(kind: str, path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    item: Any = copy.deepcopy(GOOD[kind])
    place = item
    for part, below in pairwise(path):
        if isinstance(part, int):
            place += [] if place else [{}]
            place = place[0]
        else:
            place = place.setdefault(part, [] if isinstance(below, int) else {})
    place[path[-1]] = value
    return item  # type: ignore[no-any-return]


CASES = [
    (kind.name, path)
    for kind in all_kinds()
    if kind.name in GOOD
    for path in keys(kind.model)
    if path[-1] not in ("inputs", "outputs")  # which may be anything
]


@pytest.mark.parametrize(
    ("kind", "path"), CASES, ids=lambda one: one if isinstance(one, str) else ".".join(map(str, one))
)
def test_every_key_of_every_rule_is_said_in_words(
    tmp_path: Path, kind: str, path: tuple[str | int, ...]
) -> None:
    file = tmp_path / "r.yaml"
    items = [{**with_value(kind, path, value)} for value in WRONG]
    for number, item in enumerate(items):
        if path != ("id",):
            item["id"] = f"r{number}"
    file.write_text(json.dumps({"version": 1, "rules": items}))
    found = load_packs([file], ("experiment",)).diagnostics
    assert found
    assert [str(one) for one in found if JARGON.search(one.message + one.hint)] == []
    assert all(one.file == str(file) and one.line and one.column for one in found)
    name = ".".join(map(str, path))
    assert any(name in one.message for one in found)
