"""A record of a dataset in its normal form: what makes it the same record, whatever server it came from.

Ids, times and users of the server are not in it.  What an evaluation reads and what people wrote is its
*case*: inputs, outputs, expectations, people's own tags.  What tracesieve notes by itself (sources, rules,
reasons) is kept beside it and makes no new version, since it grows with traffic while the case stays.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sinks.mlflow.dataset_server import digest
from sinks.mlflow.expectations import theirs
from sinks.mlflow.provenance import OUTPUT, SOURCES

_NOT_PEOPLES = ("tracesieve.", "mlflow.")
_USER = "mlflow.user"  # who wrote last: of the server, as its times are


@dataclass(frozen=True)
class Record:
    """One record: ``sources`` are the ids of the traces behind it, ``origin`` is what the server names as the
    source of a record that is not ours (``source_type``, ``source_data``).
    """

    inputs: Mapping[str, Any]
    outputs: Any = None
    expectations: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    sources: tuple[str, ...] = ()
    origin: Mapping[str, Any] | None = None

    @property
    def key(self) -> str:
        """The digest of the inputs, by which MLflow and tracesieve merge (64 hex digits)."""
        return digest(self.inputs)

    @property
    def own_tags(self) -> dict[str, str]:
        """The tags that people gave it."""
        return {key: value for key, value in self.tags.items() if is_peoples(key)}

    @property
    def own_expectations(self) -> dict[str, Any]:
        """The expectations that people gave it, or changed."""
        return theirs(self)

    @property
    def case(self) -> dict[str, Any]:
        """What its version depends on."""
        return {
            "inputs": self.inputs,
            "outputs": self.outputs,
            "expectations": dict(self.expectations),
            "tags": self.own_tags,
        }

    @property
    def is_ours(self) -> bool:
        """Whether tracesieve put it there."""
        return SOURCES in self.tags

    @property
    def output_edited(self) -> bool:
        """Whether a person gave it another output than tracesieve did."""
        return self.is_ours and self.tags.get(OUTPUT) != digest(self.outputs)

    def as_json(self) -> dict[str, Any]:
        """As it is kept and exported."""
        return {
            "inputs": self.inputs,
            "outputs": self.outputs,
            "expectations": self.expectations,
            "tags": self.tags,
            "sources": list(self.sources),
            "origin": self.origin,
        }

    def text(self) -> str:
        """The same as canonical JSON: ASCII, so that lone surrogates are kept, and keys sorted."""
        return canonical(self.as_json())


def is_peoples(key: str) -> bool:
    """Whether a tag is one that people give; the others are of tracesieve and of MLflow."""
    return not key.startswith(_NOT_PEOPLES)


def canonical(value: Any) -> str:
    """JSON that is equal for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def normalised(
    inputs: Mapping[str, Any],
    outputs: Any,
    expectations: Mapping[str, Any] | None,
    tags: Mapping[str, Any] | None,
    source: Mapping[str, Any] | None = None,
) -> Record:
    """A record as a server shows it, in the normal form.

    The trace that MLflow names as the source of a record of ours is the one that happened to come first, so
    that it is left out: our own tag has all of them.
    """
    texts = {str(key): str(value) for key, value in (tags or {}).items() if key != _USER}
    ours = _trace_ids(texts.get(SOURCES))
    origin = dict(source) if source and SOURCES not in texts else None
    trace_id = ((origin or {}).get("source_data") or {}).get("trace_id")
    sources = ours if SOURCES in texts else (str(trace_id),) if trace_id else ()
    return Record(inputs, outputs, dict(expectations or {}), texts, sources, origin)


def parsed_record(text: str) -> Record:
    """The record that :meth:`Record.text` wrote."""
    found = json.loads(text)
    return Record(
        found["inputs"],
        found["outputs"],
        found["expectations"],
        found["tags"],
        tuple(found["sources"]),
        found["origin"],
    )


def in_order(records: Iterable[Record]) -> list[Record]:
    """Sorted by the digest of their inputs."""
    return sorted(records, key=lambda one: one.key)


def version_of(records: Iterable[Record]) -> str:
    """The hash of the cases of some records, the same in any order (64 hex digits)."""
    cases = sorted(hashlib.sha256(canonical(one.case).encode()).hexdigest() for one in records)
    return hashlib.sha256(canonical(cases).encode()).hexdigest()


def _trace_ids(text: str | None) -> tuple[str, ...]:
    """The trace ids of the tag of sources; a person may have written anything there."""
    try:
        found = json.loads(text or "[]")
    except (ValueError, RecursionError):
        return ()
    return tuple(sorted({str(one) for one in found})) if isinstance(found, list) else ()
