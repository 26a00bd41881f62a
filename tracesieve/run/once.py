"""``run --once``: its time is fixed at the start, and all that ended up to it is taken (SEMANTICS 26).

Asked to stop, it leaves the rest to the next run: landing ends where it is, the batch under way is finished,
what is counted is tagged. Verdicts are given only when all was counted, since what is missing could change
them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from rules.units import SECOND_US
from sinks.drain import drain
from streams.errors import PartlyLanded, Stopped
from streams.query import start
from streams.sources.base import Landing
from tracesieve.run.apply import Applier
from tracesieve.run.issues import decide_at_end
from tracesieve.run.parts import Run, spark_of, wall_us
from tracesieve.run.progress import Progress, of_about
from tracesieve.run.shutdown import finish_batch
from tracesieve.run.versions import take_at_end

log = logging.getLogger("tracesieve.run")
DRAIN_S = 60.0


def run_once(run: Run, progress: Progress | None = None) -> int:
    """Take all that ended up to now, deliver for up to ``DRAIN_S`` seconds; how many deliveries still wait.

    When ``run.stop`` is set before that, one pass of deliveries is made. ``progress`` is told of each stage.

    Raises:
        PartlyLanded: some parts of the source could not be read; the others were counted and delivered.
    """
    fixed_us, progress = wall_us(), progress or Progress()
    partly: list[PartlyLanded] = []
    counted = _count(run, fixed_us, progress, partly.append)
    run.lease.check()
    progress.stage(lambda: "verdicts, notifications and messages")
    if not counted:
        log.warning("asked to stop before all was counted: the next run goes on from here")
        run.enqueue(fixed_us)
    elif partly:
        run.follow(fixed_us)  # as a run that goes on does: verdicts on what is old enough
    else:
        run.follow(fixed_us, fixed_us)
    if counted:
        decide_at_end(run, fixed_us)
    waiting = 0
    if not run.dry_run:
        progress.stage(_delivering(run))
        if run.stop.is_set():
            run.deliver_once()
        waiting = drain(run.deliveries, run.outbox, wall_us, DRAIN_S, run.stop.is_set)
        for delivery in run.deliveries:
            run.resend(delivery)
        progress.stage(lambda: "versions of the datasets")
        take_at_end(run)
    run.lease.check()
    if not run.stop.is_set():
        progress.stage(lambda: "maintenance of the store")
        run.maintenance.all(fixed_us)
    if partly:
        raise partly[0]
    return waiting


def _delivering(run: Run) -> Callable[[], str]:
    sinks = [one.sink.name for one in run.deliveries]
    whole = sum(map(run.outbox.count, sinks))

    def describe() -> str:
        waiting = sum(map(run.outbox.count, sinks))
        return f"delivering: {of_about(max(whole - waiting, 0), whole, 'messages')}"

    return describe


def _landing(landing: Landing) -> Callable[[], str]:
    def describe() -> str:
        landed, total = landing.progress()
        return f"landing: {of_about(landed, total, 'traces')}"

    return describe


def _count(run: Run, fixed_us: int, progress: Progress, partly: Callable[[PartlyLanded], None]) -> bool:
    """Land and count all that ended up to ``fixed_us``; False when asked to stop before that. Where some
    parts of the source cannot be read, the others are counted, and ``partly`` is called.
    """
    with ThreadPoolExecutor(
        1, thread_name_prefix="spark"
    ) as starting:  # Spark takes as long to start as most landings
        spark = starting.submit(spark_of, run)
        progress.stage(lambda: "starting Spark")
        if run.landing is not None:
            progress.stage(_landing(run.landing))
            run.stop.wait(run.landing.settle_us / SECOND_US)
            try:
                run.landing.land_through(fixed_us)
            except Stopped:
                return False
            except PartlyLanded as error:
                partly(error)
    if run.stop.is_set():
        return False
    progress.stage(lambda: "starting Spark")
    handle = start(spark.result(), run.config, lambda: fixed_us, once=True)
    progress.stage(lambda: "counting: {:,} rows in {:,} batches".format(*handle.rows_and_batches()))
    while not handle.wait(0.2):
        if run.stop.is_set():
            finish_batch(handle)
            return False
    progress.stage(lambda: "applying rules to the past, as was asked")
    return Applier(run, spark.result()).step(fixed_us)  # what was asked while no run went on
