"""A record of a version as it is evaluated: its inputs, the answer that is stored, what is expected, and
what people and rules say of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sinks.mlflow.provenance import RULES
from store import Store
from store.dataset_versions import StoredVersion
from tracesieve.datasets import versions
from tracesieve.datasets.record import Record

IS_FAILURE: Final = "is_failure"  # the expectation, or the tag, by which a person says whether it was one
_SHOWN = 120
_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True)
class Case:
    """One record.

    Attributes:
        key: the digest of the inputs, by which records of two versions are the same.
        rules: the rules that brought it into the dataset, with their versions: ``id@hash``.
        marked_failure: whether a person says that it was a failure; None where nobody said anything.
    """

    key: str
    inputs: Mapping[str, Any]
    outputs: Any = None
    expectations: Mapping[str, Any] = field(default_factory=dict)
    rules: tuple[str, ...] = ()
    marked_failure: bool | None = None

    @property
    def shown(self) -> str:
        """The beginning of the inputs, for a person; hostile as they are."""
        return shown(self.inputs)


@dataclass(frozen=True)
class LoadedVersion:
    """A version of a dataset and its records, sorted by key."""

    version: StoredVersion
    cases: Sequence[Case]

    @property
    def name(self) -> str:
        """The dataset."""
        return self.version.place.dataset


def load(store: Store, name: str) -> LoadedVersion:
    """The version that ``NAME`` (its latest) or ``NAME@VERSION`` names.

    Raises:
        TracesieveError: there is none, or it is empty.
    """
    version = versions.found(store, *versions.split_name(name))
    return LoadedVersion(version, [case_of(one) for one in versions.records_of(store, version)])


def case_of(record: Record) -> Case:
    """A record of the store as a case."""
    rules = {one for one in record.tags.get(RULES, "").split(",") if one}
    word = record.expectations.get(IS_FAILURE, record.tags.get(IS_FAILURE))
    expectations = {key: value for key, value in record.expectations.items() if key != IS_FAILURE}
    return Case(
        record.key,
        record.inputs,
        record.outputs,
        expectations,
        tuple(sorted(rules)),
        _WORDS.get(str(word).strip().lower()),
    )


def content_hash(*parts: Any) -> str:
    """sha256 of the canonical JSON of some values, one after the other; what JSON does not have, as text."""
    texts = (json.dumps(part, sort_keys=True, default=str) for part in parts)
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def shown(inputs: Mapping[str, Any], most: int = _SHOWN) -> str:
    """The beginning of inputs in a line; of a single key its value alone."""
    value = next(iter(inputs.values())) if len(inputs) == 1 else inputs
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= most else text[: most - 1] + "…"
