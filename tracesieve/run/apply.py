"""`tracesieve apply` as part of a run: its requests, the work on them beside the query, and their sums.

What follows from a piece (verdicts, tags, records) is written by the followers of the run, as from any batch.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from rules.rule_set import RuleSet
from rules.units import iso_time, parse_time_us, readable_time
from store import Store
from store.apply_log import ApplyLog, ApplyPiece, ApplyRequest, summed
from streams.apply import ApplyWorker, rows_by_spark
from tracesieve.json_output import iso
from tracesieve.run.parts import Run, wall_us

log = logging.getLogger("tracesieve.run")


@dataclass(frozen=True)
class Asked:
    """The options of the command: rule ids (none: all) and a range of end times, None: open."""

    rules: tuple[str, ...]
    from_us: int | None
    to_us: int | None
    text: str  # the range as it was given

    def request(self, store: Store, now_us: int) -> ApplyRequest:
        """As a request; without an end it reaches to the last trace that is counted."""
        to_us = self.to_us
        if to_us is None:
            last = store.table("facts").read(["end_us"])["end_us"].max()
            to_us = max(now_us, last if isinstance(last, int) else 0) + 1
        asked = json.dumps([sorted(self.rules), self.text])
        return ApplyRequest(uuid.uuid4().hex[:12], self.rules, self.from_us or 0, to_us, asked, now_us)

    def put(self, store: Store, now_us: int) -> ApplyRequest:
        """Append the request, or join an equal one that was left open."""
        requests, request = ApplyLog(store), self.request(store, now_us)
        for one in requests.open():
            if one.asked == request.asked:
                return one
        requests.put(request)
        return request


class Applier:
    """Works on the open requests of a run's store; in a thread of its own beside the query."""

    def __init__(self, run: Run, spark: Any) -> None:
        self._worker = ApplyWorker(run.store, run.config, wall_us, rows_by_spark(spark, run.config))
        self._stopping = run.stop.is_set

    def step(self, now_us: int, show: Callable[[ApplyRequest], object] = lambda _request: None) -> bool:
        """Work on what is open until nothing is; False where the run is to stop before that.

        Raises:
            StoreUnwritable: the piece will be repeated.
        """
        for request in self._worker.log.open():
            done = False
            while not done:
                if self._stopping():
                    return False
                piece = self._worker.step(request)
                done = piece.done and piece.request_id == request.request_id
                log.info(
                    "apply %s: %d traces through %s, %d changed",
                    request.request_id,
                    piece.traces,
                    iso_time(piece.to_us),
                    piece.changed,
                )
                show(request)
        return True


def expected(store: Store, request: ApplyRequest) -> int:
    """How many traces a request has to look at."""
    within = (pl.col("end_us") >= request.from_us) & (pl.col("end_us") < request.to_us)
    weights = store.table("facts").read(["weight"], within)["weight"].cast(pl.Int64)
    return int(weights.sum())


def document(
    request: ApplyRequest,
    pieces: Sequence[ApplyPiece],
    rules: RuleSet,
    *,
    dry_run: bool = False,
    waiting: int = 0,
) -> dict[str, Any]:
    """What a request came to, by rule before and after: the document of `apply --json`."""
    totals, by_rule = summed(pieces)
    nothing = dict.fromkeys(("before", "after", "gained", "lost"), 0)
    present = [rule.id for rule, _ in rules.per_trace if request.reaches(rule.id)]
    gone = [rule_id for rule_id in by_rule if rule_id not in present]
    return {
        "dry_run": dry_run,
        "from": iso(request.from_us or None),
        "to": iso(request.to_us),
        **totals,
        "rules": [{"rule": one, **by_rule.get(one, nothing)} for one in (*present, *gone)],
        "waiting": waiting,
    }


def heading(shown: Mapping[str, Any]) -> str:
    """The document without its rules, as a paragraph."""
    would = "would change" if shown["dry_run"] else "changed"
    first, end = (one and readable_time(parse_time_us(one)) for one in (shown["from"], shown["to"]))
    since = f"from {first} " if first else ""
    more = [
        f"{shown[name]:,} {text}"
        for name, text in (
            ("regrouped", "of them because of other grouping keys"),
            ("gone", "are no longer in the source and stay as they were"),
            ("uncounted", "have a content that is not counted yet and stay as they were"),
        )
        if shown[name]
    ]
    tail = "".join(f"; {one}" for one in more)
    return f"{shown['changed']:,} of {shown['traces']:,} traces {would} ({since}to {end}){tail}."
