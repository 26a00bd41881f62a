"""The document of ``profile --compare``."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import polars as pl

from rules.alerting.histogram import bucket_index
from rules.breakdown import OBSERVED, Observations, Observed
from store.store import Store
from tracesieve.analysis.added_up import unpacked
from tracesieve.analysis.asked_for import BREAKDOWN, Asked, Found, asked_for
from tracesieve.analysis.comparison import changes as rows
from tracesieve.analysis.comparison.sides import Range, Versions
from tracesieve.analysis.comparison.versions import NEEDED, with_versions
from tracesieve.analysis.where import kept_json
from tracesieve.errors import TracesieveError
from tracesieve.json_output import iso
from tracesieve.terminal import plain

_COLUMNS = (*BREAKDOWN, "error", *OBSERVED)
_MOST_NAMED = 8


def compared(
    store: Store, with_: Range | Versions, from_us: int, to_us: int, now_us: int, asked: Asked
) -> dict[str, Any]:
    """``before`` and ``after`` (``from``, ``to``, ``traces``, ``version``, ``without_breakdown``),
    ``versions`` (null between ranges), ``changes`` (:func:`tracesieve.analysis.comparison.changes.changes`),
    ``tests``: how many there were, and at what they are sure.

    Raises:
        TracesieveError: no trace is of one of the versions, or as for a profile.
        StoreError: the trace table cannot be read.
    """
    found = (
        _ranges(store, with_, from_us, to_us, now_us, asked)
        if isinstance(with_, Range)
        else _of_versions(store, with_, from_us, to_us, now_us, asked)
    )
    heads, frames, versions = found
    known = [frame.filter(pl.col("span_sums").is_not_null()) for frame in frames]
    for head, frame, usable in zip(heads, frames, known, strict=True):
        head |= {"traces": frame.height, "without_breakdown": frame.height - usable.height}
    changed = rows.changes(*(_side(frame) for frame in known))
    tests = {"number": len(changed), "surely_at": rows.SURE_AT, "probably_at": rows.PROBABLE_AT}
    return {"before": heads[0], "after": heads[1], "versions": versions, "changes": changed, "tests": tests}


_Sides = tuple[list[dict[str, Any]], list[pl.DataFrame], dict[str, Any] | None]


def _ranges(store: Store, other: Range, from_us: int, to_us: int, now_us: int, asked: Asked) -> _Sides:
    heads, frames = [], []
    for first, end in ((other.from_us, other.to_us), (from_us, to_us)):
        found = asked_for(store, first, end, now_us, asked, _COLUMNS)
        heads.append({"from": iso(first), "to": iso(end), "version": None, **_where(found)})
        frames.append(found.facts)
    return heads, frames, None


def _of_versions(
    store: Store, versions: Versions, from_us: int, to_us: int, now_us: int, asked: Asked
) -> _Sides:
    found = asked_for(store, from_us, to_us, now_us, asked, (*_COLUMNS, *NEEDED))
    facts = with_versions(found.facts, versions.key, asked.table)
    names = (versions.before, versions.after)
    divided = _divided(facts, versions)
    heads = [{"from": iso(from_us), "to": iso(to_us), "version": name, **_where(found)} for name in names]
    return heads, [facts.filter(pl.col("version") == name) for name in names], divided


def _where(found: Found) -> dict[str, Any]:
    return {} if found.kept is None else {"where": kept_json(found.kept)}


def _side(facts: pl.DataFrame) -> rows.Side:
    spans = Observations()
    unpacked(facts, spans.add_alike, spans.add)
    whole = Observed(traces=facts.height, failed=int(facts["error"].sum() or 0))
    for name in OBSERVED:  # facts have columns of these names
        values = facts[name].drop_nulls().to_numpy()
        index, count = np.unique(bucket_index(values), return_counts=True)
        whole.histograms[name] = Counter(dict(zip(index.tolist(), count.tolist(), strict=True)))
    return rows.Side(facts.height, {**spans.by_label, rows.WHOLE: whole})


def _divided(facts: pl.DataFrame, asked: Versions) -> dict[str, Any]:
    """How the traces of the range are divided: the two versions, ``other``, ``none``, ``content_gone``."""
    counts = dict(facts.group_by("version").len().iter_rows())
    both = (asked.before, asked.after)
    lacking = [name for name in both if not counts.get(name)]
    if lacking:
        there = sorted((name for name in counts if name), key=lambda name: (-counts[name], name))
        listed = ", ".join(f"{plain(name, 60)} ({counts[name]:,} traces)" for name in there[:_MOST_NAMED])
        gone = f" (the content of {counts[None]:,} traces is gone)" if counts.get(None) else ""
        more = f" and {len(there) - _MOST_NAMED:,} more" if len(there) > _MOST_NAMED else ""
        raise TracesieveError(
            f"--compare {asked.key}: no trace of the range is of version {', '.join(map(plain, lacking))}; "
            f"there are: {listed or 'none'}{more}{gone}"
        )
    none, gone = counts.get("", 0), counts.get(None, 0)
    other = facts.height - none - gone - sum(counts[name] for name in both)
    without = (none + gone) / facts.height
    return {
        "key": asked.key,
        "other": other,
        "none": none,
        "content_gone": gone,
        "share_without": without,
    }
