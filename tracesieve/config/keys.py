"""The keys that a config may have, given what it has chosen already (such as the kind of its source)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo


def key_paths(model: type[BaseModel], chosen: Mapping[str, Any]) -> Iterator[str]:
    """Every key as ``part.key``, those below the items of a list left out."""
    for name, field in model.model_fields.items():
        yield name
        value = chosen.get(name)
        below = chosen_model(field, value)
        if below is not None:
            inner = value if isinstance(value, Mapping) else {}
            yield from (f"{name}.{path}" for path in key_paths(below, inner))


def chosen_model(field: FieldInfo, value: Any) -> type[BaseModel] | None:
    """The model whose keys stand below this one: of a union the one of the chosen kind, else the first."""
    models = [
        kind for kind in _kinds(field.annotation) if isinstance(kind, type) and issubclass(kind, BaseModel)
    ]
    if isinstance(value, Mapping) and "kind" in value:
        models = [
            model for model in models if value["kind"] in get_args(model.model_fields["kind"].annotation)
        ]
    return models[0] if models else None


def _kinds(annotation: Any) -> list[Any]:
    """A type and what an optional or a union of models is made of; the items of a list stay out."""
    if getattr(annotation, "__origin__", None) in (list, tuple, dict):
        return []
    return [annotation, *(kind for part in get_args(annotation) for kind in _kinds(part))]


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
