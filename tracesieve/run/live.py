"""``run``: landing, the query, followers, deliveries and the metrics server, kept going until it is to
stop.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial

from sinks.http.server import serve
from streams.errors import Stopped
from streams.query import Handle, start
from tracesieve.errors import OutsideError
from tracesieve.run.activity import Activity
from tracesieve.run.apply import Applier
from tracesieve.run.issues import pattern_follower
from tracesieve.run.parts import Run, spark_of, wall_us
from tracesieve.run.shutdown import finish
from tracesieve.run.versions import version_taker

log = logging.getLogger("tracesieve.run")
TICK_S = 1.0
MAINTENANCE_S = 10.0  # from one table to the next


def run_live(run: Run) -> None:
    """Go on until ``run.stop`` is set; then the batch under way is finished, and what follows from it is
    delivered.

    Raises:
        OutsideError: the query ended by itself.
    """
    ready = threading.Event()
    if run.settings.metrics is not None:
        server = serve(run.settings.metrics, run.metrics.registry(), ready.is_set)
        run.stack.callback(server.server_close)
        run.stack.callback(server.shutdown)
        log.info("metrics at %s/metrics", server.url)
    threads = []
    if run.landing is not None:
        threads.append(_thread(run, "landing", 1.0, lambda now: run.landing.step(now)))  # type: ignore[union-attr]
    for one in run.deliveries:  # a thread each: an outage of one sink keeps nothing from the others
        threads.append(_thread(run, one.sink.name, 0.5, partial(run.deliver, one)))
    threads.append(_thread(run, "maintenance", MAINTENANCE_S, run.maintenance.step))
    if (versions := version_taker(run)) is not None:
        threads.append(_thread(run, "versions", 1.0, versions.step))
    if (patterns := pattern_follower(run)) is not None:
        threads.append(_thread(run, "patterns", 1.0, patterns.step))
    log.info("starting Spark")
    spark = spark_of(run)
    handle = start(spark, run.config, wall_us)
    run.stack.callback(handle.stop)
    threads.append(_thread(run, "apply", 1.0, Applier(run, spark).step))
    ready.set()
    log.info("watching; the store is %s", run.settings.store_path)
    activity = Activity(run.metrics)
    while not run.stop.is_set():
        now = wall_us()
        run.lease.check()
        run.reload_rules(now)
        run.follow(now)
        handle.poll()
        _still_active(handle)
        activity.step()
        run.stop.wait(TICK_S)
    log.info("stopping: the batch under way first")
    finish(handle, threads, lambda: _flush(run))


def _flush(run: Run) -> None:
    """What follows from the last batch is written, and delivered once."""
    run.follow(wall_us())
    run.deliver_once()


def _still_active(handle: Handle) -> None:
    if not handle.active:
        raise OutsideError(f"the streaming query ended: {handle.error() or 'no reason was given'}")


def _thread(run: Run, name: str, every_s: float, work: Callable[[int], object]) -> threading.Thread:
    def loop() -> None:
        wait = every_s
        while not run.stop.wait(wait):
            try:
                work(wall_us())
                wait = every_s
            except Stopped:
                return
            except Exception as error:  # noqa: BLE001 - a server that is down must not end the run; tried again
                wait = min(60.0, max(wait, 1.0) * 2)
                log.warning("%s failed, trying again in %.0f s: %s", name, wait, error)

    thread = threading.Thread(target=loop, name=name, daemon=True)
    thread.start()
    return thread
