"""The three ways in which `tracesieve apply` is done: by itself, by the run that goes on, or as a dry run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from rules.rule_set import RuleSet
from sinks import registry
from sinks.base import MessageKind
from sinks.drain import drain
from store import Store, open_store
from store.apply_log import APPLY, ApplyLog, ApplyPiece, ApplyRequest, summed
from store.errors import StoreTaken
from store.lease import holder
from store.outbox import Outbox, messages_cursor
from store.rule_sets import RuleSets
from streams.apply import ApplyWorker, rows_by_spark
from streams.batch.config import BatchConfig
from streams.checkpoint import checkpoint_of
from streams.session.spark import session
from tracesieve.errors import OutsideError
from tracesieve.run.apply import Applier, Asked, document, expected
from tracesieve.run.once import DRAIN_S
from tracesieve.run.parts import open_run, spark_of, wall_us
from tracesieve.run.shutdown import handle_signals

if TYPE_CHECKING:
    from tracesieve.config.settings import Settings

_LOOK_S = 0.5
_SAME_RULES_S = 15.0
Show = Callable[[str], object]


class Progress:
    """Says on ``show`` what is to be done, then how far it is."""

    def __init__(self, store: Store, request: ApplyRequest, show: Show) -> None:
        self._log, self._request, self._show = ApplyLog(store), request, show
        self._all = expected(store, request)
        self._began_s, self._shown = time.monotonic(), 0
        show(f"{self._all:,} counted traces to compare with the rules")

    def show(self, *_: object) -> None:
        """One line, if there is anything new."""
        pieces = self._log.standing(self._request.request_id)
        self.show_pieces(pieces)

    def show_pieces(self, pieces: Sequence[ApplyPiece]) -> None:
        """The same of these pieces."""
        totals, _ = summed(pieces)
        if len(pieces) == self._shown or not totals["traces"]:
            return
        self._shown = len(pieces)
        spent_s = time.monotonic() - self._began_s
        left_s = spent_s * max(self._all - totals["traces"], 0) / totals["traces"]
        rest = f", about {left_s:.0f} s left" if left_s >= 1 else ""
        self._show(f"{totals['traces']:,} of {self._all:,} compared, {totals['changed']:,} changed{rest}")


def preview(settings: Settings, rules: RuleSet, asked: Asked, show: Show) -> dict[str, Any]:
    """What it would come to with these rules; writes nothing, so it may go beside a run.

    Raises:
        StoreError: there is no store, or it cannot be read.
    """
    store = open_store(settings.store_path, create=False)
    request = asked.request(store, wall_us())
    progress = Progress(store, request, show)
    config = _config(settings)
    worker = ApplyWorker(store, config, wall_us, rows_by_spark(session(settings.spark), config))
    pieces: list[ApplyPiece] = []
    for piece in worker.preview(request, rules):
        pieces.append(piece)
        progress.show_pieces(pieces)
    return document(request, pieces, rules, dry_run=True)


def apply_rules(settings: Settings, rules: RuleSet, asked: Asked, show: Show) -> dict[str, Any]:
    """Apply the rules in this process, or have the run that goes on do it; the document of `apply --json`.

    Raises:
        what :func:`tracesieve.run.parts.open_run` raises.
        OutsideError: a signal came before the end, or the run has other rules in force.
    """
    store = open_store(settings.store_path, create=False)
    while True:
        if holder(settings.store_path) is None:
            try:
                return _by_itself(settings, rules, asked, show)
            except StoreTaken:
                if holder(settings.store_path) is None:
                    raise
        found = _beside_a_run(settings, store, rules, asked, show)
        if found is not None:
            return found
        show("the run has ended: going on without it")


def _by_itself(settings: Settings, rules: RuleSet, asked: Asked, show: Show) -> dict[str, Any]:
    stop = threading.Event()
    with ExitStack() as stack:
        run = open_run(settings, stack, dry_run=False, rebuild=False, now_us=wall_us(), stop=stop)
        handle_signals(stop)
        request = asked.put(run.store, wall_us())
        progress = Progress(run.store, request, show)
        done = Applier(run, spark_of(run)).step(wall_us(), progress.show)
        run.lease.check()
        if not done:
            raise OutsideError("stopped before the end: the next run goes on with it, or repeat the command")
        run.follow_past(wall_us())
        waiting = drain(run.deliveries, run.outbox, wall_us, DRAIN_S, stop.is_set)
        return document(request, ApplyLog(run.store).standing(request.request_id), rules, waiting=waiting)


def _beside_a_run(
    settings: Settings, store: Store, rules: RuleSet, asked: Asked, show: Show
) -> dict[str, Any] | None:
    """Ask the run, and wait until it is done; None where the run ends before that."""
    _wait_for_same_rules(store, rules)
    request = asked.put(store, wall_us())
    show(f"the run that goes on does it (request {request.request_id}); Ctrl-C ends only the waiting")
    progress, requests = Progress(store, request, show), ApplyLog(store)
    while not any(one.done for one in requests.whole(request.request_id)):
        if holder(settings.store_path) is None:
            return None
        time.sleep(_LOOK_S)
        progress.show()
    pieces = requests.standing(request.request_id)
    waiting = _wait_for_deliveries(settings, store, pieces[-1].batch_id)
    return document(request, pieces, rules, waiting=waiting)


def _wait_for_same_rules(store: Store, rules: RuleSet) -> None:
    """A run takes changed files up within a second or two."""
    until_s, rule_sets = time.monotonic() + _SAME_RULES_S, RuleSets(store)
    while (present := rule_sets.in_force()) is None or present.hash != rules.hash:
        if time.monotonic() > until_s:
            raise OutsideError("the run that goes on has other rules in force than this config: see its log")
        time.sleep(_LOOK_S)


def _wait_for_deliveries(settings: Settings, store: Store, batch_id: int) -> int:
    """Wait until the run has made and delivered the messages of that piece; how many still wait."""
    sinks = registry.names(settings.sinks, MessageKind.TAGS, MessageKind.FINDINGS, MessageKind.MEMBERSHIP)
    outbox, until_s = Outbox(store), time.monotonic() + DRAIN_S
    while sinks and time.monotonic() < until_s and holder(settings.store_path) is not None:
        made = store.table("outbox").app_version(messages_cursor(APPLY))
        if made is not None and made >= batch_id and not sum(outbox.count(one) for one in sinks):
            break
        time.sleep(_LOOK_S)
    return sum(outbox.count(one) for one in sinks)


def _config(settings: Settings) -> BatchConfig:
    return BatchConfig(
        store_path=settings.store_path,
        stream_id=APPLY,
        checkpoint=checkpoint_of(settings.store_path),
        group_by=settings.group_by,
        table=settings.source.query_table(settings.place),
    )
