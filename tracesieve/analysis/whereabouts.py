"""Whether a trace is counted, and if not, why: what the store and the source know of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from rules.units import duration_text, iso_time
from store import Store, net_facts
from store.content import TraceTable
from store.final_through import stored_final_through_us
from store.maintenance.retention import DEFAULTS_US
from streams.sources.base import Sighting
from tracesieve.errors import TracesieveError

if TYPE_CHECKING:
    from tracesieve.config.settings import Settings

_SHOWN = 10  # ids that a message lists
_RUN, _SCORER = "mlflow.sourceRun", "mlflow.trace.sourceScorer"


@dataclass(frozen=True)
class Known:
    """What the store has of one trace: its standing fact, whether it was left out, why a row of it was
    refused.
    """

    fact: dict[str, Any] | None
    left_out: bool
    refused: str

    @classmethod
    def of(cls, store: Store, trace_id: str) -> Known:
        """Read it."""
        of_trace = pl.col("trace_id") == trace_id
        rows = store.table("facts").read(where=of_trace)
        standing = net_facts(rows).to_dicts()
        refused = store.table("quarantine").read(["reason", "detail", "now_us"], of_trace)
        refused = refused.filter(pl.col("detail") == "not counted").sort("now_us")
        return cls(
            fact=standing[0] if standing else None,
            left_out=bool((rows.filter(pl.col("weight") == 0)["state"] == "LEFT_OUT").any()),
            refused=refused["reason"][-1] if refused.height else "",
        )

    def __bool__(self) -> bool:
        return self.fact is not None or self.left_out or bool(self.refused)


def whole_id(
    store: Store,
    table: TraceTable,
    text: str,
    look_up: Callable[[str], Sequence[Sighting]],
) -> tuple[str, Sighting | None] | None:
    """The id that begins with ``text``, and what the source itself has of it where the store has nothing;
    None: there is no such trace.

    Raises:
        TracesieveError: several do; the message lists them.
        StoreError, SourceError: a table or the source cannot be read.
    """
    if not text:
        raise TracesieveError("name a trace by its id, or by the beginning of it")
    found = {text} if Known.of(store, text) or text in table.ids(text, 1) else _beginning(store, table, text)
    if not found:
        sightings = look_up(text)
        found = {str(one.row["trace_id"]) for one in sightings}
        if len(found) == 1:
            return found.pop(), sightings[0]
    if len(found) > 1:
        listed = sorted(found)
        more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
        raise TracesieveError(
            f"{len(listed)}{'+' if more else ''} traces begin with {text}: {', '.join(listed[:_SHOWN])}{more}"
        )
    return (found.pop(), None) if found else None


def _beginning(store: Store, table: TraceTable, text: str) -> set[str]:
    """The ids that begin so, of the store and of the table that the query reads."""
    begins = pl.col("trace_id").str.starts_with(text)
    found = set(table.ids(text, _SHOWN + 1))
    for name in ("facts", "quarantine"):
        found |= set(store.table(name).read(["trace_id"], begins)["trace_id"].unique())
    return found


def placed(
    settings: Settings, store: Store, known: Known, sighting: Sighting | None, now_us: int
) -> tuple[str, str]:
    """Where a trace stands, as a word for scripts and a sentence: ``counted``, ``left_out``, ``quarantined``,
    ``in_progress``, ``before_start``, ``not_watched``, ``expired`` or ``not_read``.
    """
    row = sighting.row if sighting is not None else None
    if known.fact is not None:
        gone = "" if row is not None else "; its content is gone, so rules cannot be evaluated on it"
        return "counted", f"counted{gone}"
    if known.left_out or (row is not None and not settings.include_evaluation and _is_evaluation(row)):
        what = "a trace of an evaluation run or of a judge"
        return "left_out", f"{what}: left out (include_evaluation: true counts those)"
    if known.refused:
        return "quarantined", f"a row that cannot be counted ({known.refused}): it is in quarantine"
    assert sighting is not None
    return _uncounted(settings, store, sighting, now_us)


def _uncounted(settings: Settings, store: Store, sighting: Sighting, now_us: int) -> tuple[str, str]:
    row = sighting.row
    if row["state"] == "IN_PROGRESS":
        return "in_progress", "in progress: it is counted once it has ended"
    if sighting.state != "not_read":
        return sighting.state, f"no run reads it: {sighting.why}"
    start = row["request_time"]
    if start is not None:
        age_us = now_us - int(start.timestamp() * 1_000_000)
        for key, most_us in (
            ("retention: facts", settings.retention.get("facts", DEFAULTS_US["facts"])),
            ("dedupe_horizon", settings.dedupe_horizon),
        ):
            if age_us > most_us:
                older = f"it began more than {duration_text(most_us)} ago ({key})"
                return "expired", f"{older}: its fact is gone, or it was not counted when it came"
    through = stored_final_through_us(store)
    until = f": counted is what ended up to {iso_time(through)}" if through is not None else ""
    return "not_read", f"the run has not read it yet{until}{f'; {sighting.why}' if sighting.why else ''}"


def _is_evaluation(row: Mapping[str, Any]) -> bool:
    metadata, tags = (dict(row.get(name) or {}) for name in ("trace_metadata", "tags"))
    return any((metadata.get(_RUN), metadata.get(_SCORER), tags.get(_SCORER)))
