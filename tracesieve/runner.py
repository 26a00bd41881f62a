"""The run: landing, the Spark query, followers, deliveries and the metrics server of one store, wired and kept going.

``run_once`` fixes its time at the start and takes all that ended up to it (SEMANTICS 26); ``run_live`` goes on until it is
told to stop.  Everything that is written is written by one process, which holds the store's lease.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from rules.model import Pack
from rules.pack import load_pack
from sinks.alert_log import AlertLog
from sinks.alertmanager import Alertmanager
from sinks.delivery import Delivery, drain
from sinks.errors import RetryLater
from sinks.http_server import serve
from sinks.prometheus import MetricsState
from sinks.registry import Told, deliveries
from store import Store, open_store
from store.lease import Lease
from store.outbox import Outbox
from store.upkeep import Upkeep
from streams.batch import BatchConfig
from streams.query import Handle, check_source, checkpoint_of, start, stream_id
from streams.session import session
from streams.sources import DeltaTracesSource, MlflowSource
from streams.sources.mlflow_landing import MlflowLanding
from tracesieve.ending import finish
from tracesieve.errors import ConfigError, OutsideError, TracesieveError
from tracesieve.followers.metrics import MetricsFollower
from tracesieve.followers.notifications import Notifications
from tracesieve.followers.progress import Progress, evaluate_through_us
from tracesieve.followers.verdicts import Verdicts
from tracesieve.followers.wishes import TraceWishes
from tracesieve.settings import Settings, lacking
from tracesieve.trace_row import table_uri, trace_table
from tracesieve.upkeep import upkeep_needs

log = logging.getLogger("tracesieve.run")
Clock = Callable[[], int]
DRAIN_S = 60.0
TICK_S = 1.0
UPKEEP_S = 10.0  # from one table to the next


def wall_us() -> int:
    """Now, in µs since the epoch: the one place where a run reads the clock."""
    return time.time_ns() // 1000


@dataclass
class Run:
    """The parts of one run; build it with :func:`open_run`."""

    settings: Settings
    store: Store
    config: BatchConfig
    outbox: Outbox
    pack: Pack
    metrics: MetricsState
    lease: Lease
    dry_run: bool = False
    landing: MlflowLanding | None = None
    deliveries: list[Delivery] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        s = self.settings
        self._verdicts = Verdicts(self.store, self.config.stream_id, int(s.revise_for * 1e6))
        self._notifications = Notifications(
            self.store, self.outbox, int(s.alerts.page_if_newer_than * 1e6), bool(s.alerts.alertmanager) and not self.dry_run,
            self._verdicts.held_us,
        )  # fmt: skip
        self._wishes = TraceWishes(
            self.store, self.outbox, self.config.stream_id,
            tags=s.mlflow is not None and s.mlflow.tags, datasets=s.mlflow is not None and s.datasets is not False,
        )  # fmt: skip
        self._metrics = MetricsFollower(self.store, self.metrics, self.config.stream_id, self.outbox, s.group_by)
        self._progress = Progress(self.landing)
        self._rules_seen = _seen(s)
        self.metrics.set_gauge("tracesieve_rules_reload_success", {(): 1.0})
        self.upkeep = Upkeep(self.store, upkeep_needs(s, lambda: self.pack, wishes=s.mlflow is not None and not self.dry_run))

    def follow(self, now_us: int, through_us: int | None = None) -> None:
        """One pass of all followers: verdicts, then what should be said and delivered.

        Verdicts are given up to ``through_us``, or up to where everything is counted or old enough (SEMANTICS 14).
        """
        final_us = self._progress.final_through_us(self._verdicts.arrived_us())
        if through_us is None:
            through_us = evaluate_through_us(final_us, now_us, int(self.settings.evaluate_after * 1e6))
        self._verdicts.step(self.pack, through_us, now_us)
        self._notifications.step(self.pack, now_us, self._verdicts.evaluated())
        if self.settings.mlflow is not None and not self.dry_run:
            self._wishes.step(self.pack, now_us)
        self._metrics.step(self.pack, now_us, final_us, self._notifications.alerts())

    def deliver(self, delivery: Delivery, now_us: int) -> None:
        """One pass of one sink."""
        delivery.step(now_us)
        if isinstance(delivery.sink, Alertmanager):
            try:
                delivery.sink.resend(self._notifications.firing())
            except RetryLater as error:
                self.metrics.delivered(delivery.sink.name, "retry", 1)
                log.warning("%s", error)

    def reload_rules(self, now_us: int) -> None:
        """Take changed rule files; a bad one leaves the last good set in force."""
        seen = _seen(self.settings)
        if seen == self._rules_seen:
            return
        self._rules_seen = seen
        loaded = load_pack(self.settings.rules, self.settings.group_by, self.settings.base_dir)
        self.metrics.set_gauge("tracesieve_rules_reload_success", {(): float(bool(loaded.pack))})
        if loaded.pack is None:
            log.error("rules not reloaded, the last good set stays: %s", "; ".join(map(str, loaded.errors)))
            return
        self.pack = loaded.pack
        put_pack(self.store, self.pack, self.settings, now_us)
        log.info("rules reloaded: %d trace rules, %d window rules", len(self.pack.trace_rules), len(self.pack.window_rules))


def open_run(settings: Settings, stack: ExitStack, *, dry_run: bool, rebuild: bool, now_us: int) -> Run:
    """Check everything that can be checked without Spark, take the lease, and wire the parts.

    Raises:
        TracesieveError, StoreError, SourceError, StreamMismatch: with one message that says what to do.
    """
    missing = lacking(settings)
    if missing:
        raise ConfigError(missing)
    loaded = load_pack(settings.rules, settings.group_by, settings.base_dir)
    if loaded.pack is None:
        raise TracesieveError("\n".join(map(str, loaded.errors)))
    store = open_store(settings.store_path)
    lease = Lease(settings.store_path)
    lease.acquire()
    stack.callback(lease.release)
    stack.callback(lease.note_jvm, None)  # a clean end leaves nothing for the next run to wait for
    source = settings.source
    landing = None
    if isinstance(source, MlflowSource):
        landing = MlflowLanding(source, store)
        landing.check()
        store.table("traces").create()
    checkpoint = checkpoint_of(settings.store_path)
    table, columns = store.table("traces").uri, ()
    if isinstance(source, DeltaTracesSource):
        table = table_uri(settings, source)
        columns = tuple(source.columns.items())  # type: ignore[assignment]
    config = BatchConfig(
        settings.store_path, stream_id(store, checkpoint, rebuild=rebuild), checkpoint, settings.config_hash,
        settings.group_by, settings.include_evaluation, int(settings.dedupe_horizon * 1e6), columns, table,
    )  # fmt: skip
    check_source(config)
    put_pack(store, loaded.pack, settings, now_us)
    metrics = MetricsState(settings.group_by)
    run = Run(settings, store, config, Outbox(store), loaded.pack, metrics, lease, dry_run, landing)
    if settings.mlflow is None and not dry_run:
        log.info("no `mlflow:` in the config: traces are not tagged")
    only = (AlertLog.name,) if dry_run else ()
    run.deliveries += deliveries(told(settings, store), run.outbox, metrics.delivered, only=only)
    return run


def told(settings: Settings, store: Store) -> Told:
    """What the config says of the sinks."""
    target = settings.mlflow
    return Told(
        store=store,
        content=trace_table(settings, store),
        tracking_uri=target.tracking_uri if target else None,
        tags=target is not None and target.tags,
        datasets=settings.datasets or None,
        own_experiments=isinstance(settings.source, MlflowSource),
        alertmanager=tuple(settings.alerts.alertmanager),
        own_url=settings.metrics.url + "/metrics" if settings.metrics else "",
    )


def put_pack(store: Store, pack: Pack, settings: Settings, now_us: int) -> None:
    """Make the pack the one in force: the last row of ``packs``; nothing is written if it is already."""
    rows = store.table("packs").read().sort("loaded_us", maintain_order=True)
    group_by = ",".join(settings.group_by)
    if rows.height and rows.row(-1, named=True)["pack_hash"] == pack.hash and rows.row(-1, named=True)["group_by"] == group_by:
        return
    store.table("packs").append([{"pack_hash": pack.hash, "loaded_us": now_us, "group_by": group_by, "pack": pack.to_json()}])


def run_once(run: Run) -> int:
    """Take all that ended up to now, deliver for up to ``DRAIN_S`` seconds; how many deliveries still wait."""
    fixed = wall_us()
    settle = run.settings.settle
    with ThreadPoolExecutor(1, thread_name_prefix="spark") as starting:  # Spark takes as long to start as most landings
        spark = starting.submit(_spark, run)
        if run.landing is not None:
            time.sleep(settle)
            run.landing.land_through(fixed)
    handle = start(spark.result(), run.config, lambda: fixed, once=True)
    handle.wait()
    run.lease.check()
    run.follow(fixed, fixed)
    waiting = 0 if run.dry_run else drain(run.deliveries, run.outbox, wall_us, DRAIN_S)
    run.lease.check()
    run.upkeep.all(fixed)
    return waiting


def run_live(run: Run, stack: ExitStack) -> None:
    """Go on until ``run.stop`` is set; then the batch under way is finished, and what follows from it is delivered.

    Raises:
        OutsideError: the query ended by itself.
    """
    ready = threading.Event()
    if run.settings.metrics is not None:
        server = serve(run.settings.metrics, run.metrics.registry(), ready.is_set)
        stack.callback(server.shutdown)
    threads = []
    if run.landing is not None:
        threads.append(_thread(run, "landing", 1.0, lambda now: run.landing.step(now)))  # type: ignore[union-attr]
    for one in run.deliveries:  # a thread each: an outage of one sink keeps nothing from the others
        threads.append(_thread(run, one.sink.name, 0.5, partial(run.deliver, one)))
    threads.append(_thread(run, "upkeep", UPKEEP_S, run.upkeep.step))
    log.info("starting Spark")
    handle = start(_spark(run), run.config, wall_us)
    stack.callback(handle.stop)
    ready.set()
    log.info("watching; the store is %s", run.settings.store_path)
    while not run.stop.is_set():
        now = wall_us()
        run.lease.check()
        run.reload_rules(now)
        run.follow(now)
        _still_active(handle)
        run.stop.wait(TICK_S)
    log.info("stopping: the batch under way first")
    finish(handle, threads, lambda: _flush(run))


def _flush(run: Run) -> None:
    """What the last batch says is followed, and delivered once."""
    now = wall_us()
    run.follow(now)
    for one in run.deliveries:
        run.deliver(one, now)


def _spark(run: Run) -> Any:
    """The Spark session; its JVM's pid goes into the lease, for the run that comes after a kill."""
    spark = session(run.settings.spark)
    process = getattr(getattr(spark, "_sc", None), "_gateway", None)
    run.lease.note_jvm(getattr(getattr(process, "proc", None), "pid", None))
    return spark


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
            except Exception as error:  # noqa: BLE001 - a server that is down must not end the run; said, and tried again
                wait = min(60.0, max(wait, 1.0) * 2)
                log.warning("%s failed, trying again in %.0f s: %s", name, wait, error)

    thread = threading.Thread(target=loop, name=name, daemon=True)
    thread.start()
    return thread


def _seen(settings: Settings) -> dict[str, tuple[int, int]]:
    """What the rule files look like from outside: when each was changed, and its size."""
    found: dict[str, tuple[int, int]] = {}
    for entry in settings.rules:
        path = Path(settings.base_dir) / entry
        for file in [*path.glob("*.yaml"), *path.glob("*.yml")] if path.is_dir() else [path]:
            if file.is_file():
                status = file.stat()
                found[str(file)] = status.st_mtime_ns, status.st_size
    return found
