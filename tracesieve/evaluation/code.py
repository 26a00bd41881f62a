"""The user's own code by its name in the config: ``package.module:name`` or ``folder/file.py:name``."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from tracesieve.errors import TracesieveError


class CodeNotFoundError(TracesieveError):
    """A name of code that cannot be had; the message says why."""


@dataclass(frozen=True)
class Code:
    """What a name stands for; ``source_hash`` is of the file that it is in, so that an edited one is
    another.
    """

    name: str
    value: Any
    source_hash: str


def is_code(name: str) -> bool:
    """Whether it names code of the user's own, and not a scorer of MLflow."""
    return ":" in name


def load_code(name: str, folder: str | Path) -> Code:
    """The object of that name; files and packages are looked for from ``folder`` on, then where Python looks.

    Raises:
        CodeNotFoundError: there is no such file, module or name, or the code fails when it is imported.
    """
    place, _, attribute = name.rpartition(":")
    with _found_from(Path(folder).resolve()):
        try:
            module = (
                _from_file(place, Path(folder)) if place.endswith(".py") else importlib.import_module(place)
            )
        except CodeNotFoundError:
            raise
        except Exception as error:
            if isinstance(error, ModuleNotFoundError) and place.startswith(str(error.name)):
                raise CodeNotFoundError(f"there is no module {error.name} here") from error
            raise CodeNotFoundError(f"{place} cannot be imported: {type(error).__name__}: {error}") from error
    value: Any = module
    for part in attribute.split("."):
        if not hasattr(value, part):
            raise CodeNotFoundError(f"{place} has no {attribute}")
        value = getattr(value, part)
    return Code(name, value, _source_hash(module))


def _from_file(place: str, folder: Path) -> ModuleType:
    path = (folder / place).resolve()
    if not path.is_file():
        raise CodeNotFoundError(f"{place} is not there")
    name = f"tracesieve_code_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise CodeNotFoundError(f"{place} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # so that what is defined there can be looked up, as dataclasses do
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextmanager
def _found_from(folder: Path) -> Iterator[None]:
    """Let modules be found in a folder; it stays on the path, since code imports when it is called, too."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    yield


def _source_hash(module: ModuleType) -> str:
    file = getattr(module, "__file__", None)
    try:
        text = Path(file).read_bytes() if file else module.__name__.encode()
    except OSError:
        text = module.__name__.encode()
    return hashlib.sha256(text).hexdigest()
