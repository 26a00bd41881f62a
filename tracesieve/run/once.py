"""``run --once``: its time is fixed at the start, and all that ended up to it is taken (SEMANTICS 26).

Asked to stop, it leaves the rest to the next run: landing ends where it is, the batch under way is finished,
what is counted is tagged. Verdicts are given only when all was counted, since what is missing could change
them.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

from rules.units import SECOND_US
from sinks.drain import drain
from streams.errors import Stopped
from streams.query import start
from tracesieve.run.apply import Applier
from tracesieve.run.parts import Run, spark_of, wall_us
from tracesieve.run.shutdown import finish_batch

log = logging.getLogger("tracesieve.run")
DRAIN_S = 60.0


def run_once(run: Run) -> int:
    """Take all that ended up to now, deliver for up to ``DRAIN_S`` seconds; how many deliveries still wait.

    When ``run.stop`` is set before that, one pass of deliveries is made.
    """
    fixed_us = wall_us()
    counted = _count(run, fixed_us)
    run.lease.check()
    if counted:
        run.follow(fixed_us, fixed_us)
    else:
        log.warning("asked to stop before all was counted: the next run goes on from here")
        run.enqueue(fixed_us)
    waiting = 0
    if not run.dry_run:
        if run.stop.is_set():
            run.deliver_once()
        waiting = drain(run.deliveries, run.outbox, wall_us, DRAIN_S, run.stop.is_set)
        for delivery in run.deliveries:
            run.resend(delivery)
    run.lease.check()
    if not run.stop.is_set():
        run.maintenance.all(fixed_us)
    return waiting


def _count(run: Run, fixed_us: int) -> bool:
    """Land and count all that ended up to ``fixed_us``; False when asked to stop before that."""
    with ThreadPoolExecutor(
        1, thread_name_prefix="spark"
    ) as starting:  # Spark takes as long to start as most landings
        spark = starting.submit(spark_of, run)
        if run.landing is not None:
            run.stop.wait(run.landing.settle_us / SECOND_US)
            try:
                run.landing.land_through(fixed_us)
            except Stopped:
                return False
    if run.stop.is_set():
        return False
    handle = start(spark.result(), run.config, lambda: fixed_us, once=True)
    while not handle.wait(0.2):
        if run.stop.is_set():
            finish_batch(handle)
            return False
    return Applier(run, spark.result()).step(fixed_us)  # what was asked while no run went on
