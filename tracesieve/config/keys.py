"""The keys that a config may have, given what it has chosen already (such as the kind of its source)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo


def key_paths(model: type[BaseModel], chosen: Mapping[str, Any]) -> Iterator[str]:
    """Every key as ``part.key``, those below the items of a list left out; of parts that have names of the
    user's (``evaluation.scorers``) those below each name.
    """
    for name, field in model.model_fields.items():
        yield name
        value = chosen.get(name)
        if (entry := entry_model(field)) is not None:
            for own, inner in value.items() if isinstance(value, Mapping) else ():
                below_name = inner if isinstance(inner, Mapping) else {}
                yield from (f"{name}.{own}.{path}" for path in key_paths(entry, below_name))
            continue
        below = chosen_model(field, value)
        if below is not None:
            inner = value if isinstance(value, Mapping) else {}
            yield from (f"{name}.{path}" for path in key_paths(below, inner))


def holds_one_value(field: FieldInfo) -> bool:
    """Whether a key holds neither keys nor entries."""
    kinds = [field.annotation, *get_args(field.annotation)]
    lists = any(getattr(kind, "__origin__", None) in (list, tuple, dict) for kind in kinds)
    return not lists and next(_models_in(field.annotation), None) is None


def chosen_model(field: FieldInfo, value: Any) -> type[BaseModel] | None:
    """The model whose keys stand below this one: of a union the one of the chosen kind, else the first."""
    models = [
        kind for kind in _kinds(field.annotation) if isinstance(kind, type) and issubclass(kind, BaseModel)
    ]
    if isinstance(value, Mapping) and "kind" in value:
        kind = value["kind"]
        models = [one for one in models if "kind" not in one.model_fields or kind in _kind_names(one)]
    return models[0] if models else None


def entry_model(field: FieldInfo) -> type[BaseModel] | None:
    """The model of the parts below a key that have names of the user's; None where there are none such."""
    if getattr(field.annotation, "__origin__", None) is not dict:
        return None
    return next(_models_in(get_args(field.annotation)[1]), None)


def kinds_of(model: type[BaseModel], key: str) -> list[str]:
    """The kinds that the key ``kind`` below a key of the config may name."""
    parts = [part for part in _kinds(model.model_fields[key].annotation) if isinstance(part, type)]
    return [name for part in parts if issubclass(part, BaseModel) for name in _kind_names(part)]


def _kind_names(model: type[BaseModel]) -> tuple[str, ...]:
    return get_args(model.model_fields["kind"].annotation) if "kind" in model.model_fields else ()


def described(model: type[BaseModel], path: Sequence[str], chosen: Mapping[str, Any]) -> str:
    """The description of the key at ``path``, or of the one that holds it where that has any keys."""
    value: Any = chosen
    text, here, named = "", model, False
    for part in path:
        field = here.model_fields.get(part)
        if named or (field is None and part.isdigit()):
            named = False
            continue  # an entry of a list or mapping, whose model is here already
        if field is None:
            break
        text = field.description or ""
        value = value.get(part) if isinstance(value, Mapping) else None
        below = chosen_model(field, value) or next(iter(_models_in(field.annotation)), None)
        if below is None:
            break
        here, named = below, entry_model(field) is not None
    return text


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that a list of models is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)


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
