"""Keys that kinds of alert rules share in a rule file, and how lint checks them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import Field

from rules.alerting.contract import EvidenceQuota
from rules.diagnostics import Diagnostic, Path
from rules.kinds.base import Category
from rules.kinds.strict import Strict
from rules.units import MINUTE_US, parse_duration_us


class EvidenceModel(Strict):
    """Which category the traces behind a firing alert get, and how many of them."""

    tag: Category = Field(description="the category")
    most: int = Field(
        20, ge=1, le=1000, description="how many traces, picked once when the alert begins to fire"
    )

    @property
    def quota(self) -> EvidenceQuota:
        """The same as the rule keeps it."""
        return EvidenceQuota(self.tag, self.most)


def check_by(by: Any, path: Path, group_by: Sequence[str]) -> Iterator[Diagnostic]:
    """Each key of ``by``, which stands at ``path``, that is no key of ``group_by``."""
    for index, key in enumerate(by if isinstance(by, list) else []):
        if isinstance(key, str) and key not in group_by:
            hint = f"use some of {', '.join(group_by)}"
            yield Diagnostic("by", f"`{key}` is not in group_by", hint, path=(*path, index))


def check_minutes(keys: Mapping[str, Any], path: Path, names: Sequence[str]) -> Iterator[Diagnostic]:
    """Each duration among ``names``, keys of the mapping at ``path``, that is not one or more whole
    minutes.
    """
    for name in names:
        length_us = written_us(keys.get(name))
        if length_us is not None and (length_us < MINUTE_US or length_us % MINUTE_US):
            yield Diagnostic("window", f"`{name}` must be whole minutes", "such as 5m", path=(*path, name))


def written_us(value: Any) -> int | None:
    """A duration as written, in µs; None where it is none, which is reported with the shape."""
    try:
        return parse_duration_us(value)
    except ValueError:
        return None
