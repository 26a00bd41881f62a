"""The reference of rule files in Markdown, made from the models that check them and the fields that
conditions know.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from rules.dialect import fields, functions
from rules.duration_key import is_duration
from rules.kinds import all_kinds, file_model
from rules.units import seconds_text

_WORDS = {"str": "text", "int": "whole number", "float": "number", "bool": "true or false", "Any": "anything"}
_WHERE = {"trace": "Of a trace", "spans": "Of a span", "measure": "Of a window"}


def rules_reference() -> str:
    """The keys of every mapping, and every field with its type and where a trace holds it."""
    done: dict[type[BaseModel], None] = {}
    parts = ["## Keys", *_keys("A file", file_model(), done)]
    for kind in all_kinds():
        parts += _keys(f"A {kind.name} rule", kind.model, done)
    waiting = [inner for model in done for inner in _inner(model)]
    while waiting:
        model = waiting.pop(0)
        if model not in done and model not in [kind.model for kind in all_kinds()]:
            title = model.__name__.removesuffix("Model")
            parts += _keys(f"`{title}`", model, done)
            waiting += _inner(model)
    parts += ["## Fields", *(line for scope in _WHERE for line in _fields(scope))]
    parts += ["", "## Functions", "", "| function | gives | example |", "|---|---|---|"]
    parts += [f"| `{form}` | {gives} | `{example}` |" for form, gives, example in functions.listed()]
    return "\n".join(parts) + "\n"


def _keys(title: str, model: type[BaseModel], done: dict[type[BaseModel], None]) -> Iterator[str]:
    done[model] = None
    yield from [
        "",
        f"### {title}",
        "",
        (model.__doc__ or "").strip(),
        "",
        "| key | value | default | |",
        "|---|---|---|---|",
    ]
    for name, info in model.model_fields.items():
        duration = is_duration(info.metadata)
        value = "duration" if duration else _type(info.annotation)
        yield f"| `{info.alias or name}` | {value} | {_default(info, duration)} | {info.description or ''} |"
    yield ""


def _default(info: Any, duration: bool) -> str:
    if info.default is PydanticUndefined:
        return "required"
    if duration:
        return f"`{seconds_text(info.default)}`"
    return "" if info.default in (None, "", [], {}) else f"`{info.default}`"


def _type(annotation: Any) -> str:
    """A type as a reader of YAML would call it."""
    if annotation is type(None):
        return ""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        kind = next((kind.name for kind in all_kinds() if kind.model is annotation), "")
        return f"a {kind} rule" if kind else f"`{annotation.__name__.removesuffix('Model')}`"
    name = getattr(annotation, "__name__", str(annotation))
    arguments = get_args(annotation)
    if str(annotation).startswith("typing.Literal"):
        return " \\| ".join(f"`{one}`" for one in arguments)
    if name == "list":
        return f"list of {_type(arguments[0])}" if arguments else "list"
    if name == "dict":
        return "mapping"
    if arguments:
        types = [one for one in arguments if isinstance(one, type) or get_args(one)]
        return " or ".join(dict.fromkeys(word for one in types if (word := _type(one))))
    return _WORDS.get(name, name)


def _inner(model: type[BaseModel]) -> list[type[BaseModel]]:
    return [found for info in model.model_fields.values() for found in _models(info.annotation)]


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for one in get_args(annotation) for found in _models(one)]


def _fields(scope: str) -> Iterator[str]:
    yield from ["", f"### {_WHERE[scope]}", "", "| field | type | from |", "|---|---|---|"]
    for name, type_, raw in fields.listed(scope):
        yield f"| `{name}` | {type_} | {', '.join(f'`{one}`' for one in raw)} |"
