"""What a selection is made of: candidates, quotas, and the reasons why one is left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from rules.units import SECOND_US

REASONS: Final[Mapping[str, str]] = {
    "duplicate": "same inputs",
    "near_duplicate": "nearly the same inputs",
    "pattern_quota": "quota of the error pattern",
    "rule_quota": "quota of the rule",
    "day_quota": "quota of the day",
    "total_quota": "quota of the set",
    "unapproved": "waiting for approval",
}
"""Why a candidate is no member, by code: what a table shows."""

_FAST_US, _SLOW_US = SECOND_US, 5 * SECOND_US


class Quotas(BaseModel):
    """How many records a dataset takes; null: as many as there are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    total: int | None = Field(default=2000, ge=1, description="records in all")
    per_day: int | None = Field(default=200, ge=1, description="records of traces that ended on one day, UTC")
    per_rule: int | None = Field(default=1000, ge=1, description="records of one rule")
    per_pattern: int | None = Field(default=100, ge=1, description="records of one error pattern")
    near_duplicates: int | None = Field(
        default=20, ge=1, description="records of one error pattern whose inputs are nearly the same"
    )


@dataclass(frozen=True, slots=True)
class Candidate:
    """A trace that may enter a dataset.

    ``record`` is the digest of its inputs and ``inputs`` that of the normalised ones, "" where they are not
    known. ``signature`` is their MinHash (``rules.selection.inputs``), empty where there is nothing to
    compare. ``pattern`` is the class of its failure, "" where nothing failed. ``strata`` are its values by
    the names that ``keep`` may have, such as ``outcome``. ``by_person``: a person named the trace.
    """

    trace_id: str
    day: int
    rules: tuple[str, ...] = ()
    pattern: str = ""
    strata: Mapping[str, str] = field(default_factory=dict)
    record: str = ""
    inputs: str = ""
    signature: bytes = b""
    by_person: bool = False
    approved: bool = True


@dataclass(frozen=True)
class Selection:
    """The members of a dataset by trace id, and the reason of every other candidate (:data:`REASONS`)."""

    kept: frozenset[str]
    left_out: Mapping[str, str]

    @property
    def counts(self) -> dict[str, int]:
        """How many were left out for each reason, the most frequent first."""
        return dict(sorted(Counter(self.left_out.values()).items(), key=lambda one: (-one[1], one[0])))


def duration_stratum(duration_us: int | None) -> str:
    """The stratum of a trace's duration."""
    if duration_us is None:
        return "unknown"
    if duration_us < _FAST_US:
        return "< 1 s"
    return "1–5 s" if duration_us < _SLOW_US else "≥ 5 s"
