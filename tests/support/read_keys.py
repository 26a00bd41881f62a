"""Which keys of a config are read: a spy on the attributes of its models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel

Key = tuple[str, str]  # the model and its field


@contextmanager
def read_keys() -> Iterator[set[Key]]:
    """The keys that are read until the block ends, of all models; what pydantic itself does is not seen."""
    read: set[Key] = set()

    def spy(self: Any, name: str) -> Any:
        if not name.startswith("_") and name in type(self).model_fields:
            read.add((type(self).__name__, name))
        return object.__getattribute__(self, name)

    BaseModel.__getattribute__ = spy  # type: ignore[method-assign]
    try:
        yield read
    finally:
        del BaseModel.__getattribute__  # type: ignore[misc]


def keys_of(models: Iterable[type[BaseModel]]) -> set[Key]:
    """All keys of some models, but ``kind``, by which pydantic picks one of them."""
    return {(model.__name__, name) for model in models for name in model.model_fields if name != "kind"}
