"""The parts of a run: landing, the Spark query, followers and deliveries of one store, checked and wired.

Everything that is written is written by one process, which holds the store's lease.
:mod:`tracesieve.run.once` and :mod:`tracesieve.run.live` make it go.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from rules.errors import RuleFilesError
from rules.rule_set import RuleSet
from sinks import registry
from sinks.base import MessageKind
from sinks.delivery import Delivery
from sinks.http.buckets import BUCKETS_S
from sinks.prometheus.state import MetricsState
from store import Store, open_store
from store.final_through import FinalThrough, evaluate_through_us
from store.lease import Lease
from store.maintenance.schedule import Maintenance
from store.outbox import Outbox
from store.rule_sets import RuleSets
from store.stopwatch import Stopwatch
from streams.batch.config import BatchConfig
from streams.checkpoint import checkpoint_of, stream_id
from streams.query import check_source
from streams.session.spark import session
from streams.sources.base import Landing
from tracesieve.alerts.notifications import Notifications
from tracesieve.alerts.verdicts import Verdicts
from tracesieve.config.loading import missing
from tracesieve.config.settings import Settings
from tracesieve.config.sink_context import sink_context
from tracesieve.config.trace_table import trace_table
from tracesieve.datasets.memberships import TagsAndMemberships
from tracesieve.datasets.sets import DatasetSets
from tracesieve.errors import ConfigError
from tracesieve.run.dataset_faults import dataset_faults
from tracesieve.run.maintenance import maintenance_needs
from tracesieve.run.metrics import MetricsFollower
from tracesieve.run.new_rules import log_new_rules
from tracesieve.run.rule_files import RuleFiles

log = logging.getLogger("tracesieve.run")
_WORTH_A_LINE_S = 0.05  # a pass that finds nothing new takes less, and there is one a second


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
    rule_files: RuleFiles
    rule_set: RuleSet
    metrics: MetricsState
    lease: Lease
    stop: threading.Event
    stack: ExitStack
    dry_run: bool = False
    landing: Landing | None = None
    deliveries: list[Delivery] = field(default_factory=list)
    followed_us: int = 0  # all batches that were whole at this time have been followed

    def __post_init__(self) -> None:
        s = self.settings
        self._verdicts = Verdicts(self.store, self.config.stream_id, s.revise_for)
        self._notifications = Notifications(
            self.store,
            self.outbox,
            s.alerts.page_if_newer_than,
            self._consumers(MessageKind.ALERT),
            self._consumers(MessageKind.NOTIFICATION),
            self._verdicts.held_us,
            self.dry_run,
            self._verdicts.quiet_us,
        )
        self._messages = TagsAndMemberships(
            self.store,
            self.outbox,
            self.config.stream_id,
            [*self._consumers(MessageKind.TAGS), *self._consumers(MessageKind.FINDINGS)],
            self._consumers(MessageKind.MEMBERSHIP),
            DatasetSets.of(s),
            trace_table(s),
        )
        self._metrics = MetricsFollower(
            self.store, self.metrics, self.config.stream_id, self.outbox, s.group_by
        )
        self._final = FinalThrough(lands=self.landing is not None)
        self.metrics.set_gauge("tracesieve_rules_reload_success", {(): 1.0})
        self.maintenance = Maintenance(
            self.store,
            maintenance_needs(s, lambda: self.rule_set, messages=self._writes_messages),
        )

    def _consumers(self, kind: MessageKind) -> list[str]:
        """The names of the sinks that get messages of a kind."""
        return registry.names(self.settings.sinks, kind, dry_run=self.dry_run)

    @property
    def _writes_messages(self) -> bool:
        """Whether any sink gets the tags or the memberships of traces."""
        return bool(self._messages.tag_sinks or self._messages.membership_sinks)

    def follow(self, now_us: int, through_us: int | None = None) -> None:
        """One pass of all followers: verdicts, then notifications and the messages for sinks.

        Verdicts are given up to ``through_us``, or up to where everything is counted or old enough (SEMANTICS
        14).
        """
        if self.landing is not None:
            self._final.add(self.landing.watermarks())
            missing: dict[tuple[str, ...], float] = {(part,): 1.0 for part in self.landing.missing()}
            self.metrics.set_gauge("tracesieve_source_missing", missing)
        final_us = self._final.through_us(self._verdicts.arrived_us())
        if through_us is None:
            through_us = evaluate_through_us(final_us, now_us, self.settings.evaluate_after)
        watch = Stopwatch()
        self._verdicts.step(self.rule_set, through_us, now_us)
        watch.done("verdicts")
        self._notifications.step(self.rule_set, now_us, self._verdicts.evaluated())
        watch.done("notifications")
        self.enqueue(now_us)
        watch.done("messages")
        self._metrics.step(self.rule_set, now_us, final_us, self._notifications.alerts())
        watch.done("metrics")
        self.followed_us = now_us
        if watch.total_s >= _WORTH_A_LINE_S:
            log.debug("what follows from batches: %s", watch, extra=watch.extra)

    def follow_past(self, now_us: int) -> None:
        """The same of what is counted, without any instant that was not evaluated before: traces that came
        meanwhile may not be counted yet.
        """
        self._verdicts.step(self.rule_set, 0, now_us)
        self._notifications.step(self.rule_set, now_us, self._verdicts.evaluated())
        self.enqueue(now_us)

    def enqueue(self, now_us: int) -> None:
        """Write the messages for tags and dataset records of what is counted."""
        if self._writes_messages:
            self._messages.step(self.rule_set, now_us)

    def deliver(self, delivery: Delivery, now_us: int) -> None:
        """One pass of one sink."""
        delivery.step(now_us)
        self.resend(delivery)

    def resend(self, delivery: Delivery) -> None:
        """Let a sink send again what still fires, if its receiver would forget it."""
        if delivery.sink.resends:
            delivery.resend(self._notifications.firing())

    def deliver_once(self) -> None:
        """One pass of every sink, except of those whose thread is still at work."""
        for one in self.deliveries:
            if one.busy:
                log.warning("%s is still delivering; what waits stays in the outbox", one.sink.name)
            self.deliver(one, wall_us())

    def reload_rules(self, now_us: int) -> None:
        """Take changed rule files; a bad one leaves the last good set in force."""
        loaded = self.rule_files.reload()
        if loaded is None:
            return
        if loaded.rule_set is None:
            self.metrics.set_gauge("tracesieve_rules_reload_success", {(): 0.0})
            log.error("rules not reloaded, the last good set stays: %s", "; ".join(map(str, loaded.errors)))
            return
        RuleSets(self.store).put(loaded.rule_set, self.settings.group_by, now_us)
        for fault in dataset_faults(self.settings, loaded.rule_set):
            log.warning("a dataset of the config is fed by what the rules no longer have: %s", fault)
        before, self.rule_set = self.rule_set, loaded.rule_set
        self.metrics.set_gauge("tracesieve_rules_reload_success", {(): 1.0})
        log.info("rules reloaded: %s", self.rule_set.counts)
        log_new_rules(self.store, before, self.rule_set, self.settings.config_file)


def open_run(
    settings: Settings,
    stack: ExitStack,
    *,
    dry_run: bool,
    rebuild: bool,
    now_us: int,
    stop: threading.Event | None = None,
    once: bool = False,
) -> Run:
    """Check everything that can be checked without Spark, take the lease, and wire the parts; ``stop``, once
    set, ends it.

    Raises:
        ConfigError, RuleFilesError, StoreError, SourceError, StreamMismatch: with one message that says what
            to do.
    """
    if problems := missing(settings):
        raise ConfigError(problems)
    rule_files = RuleFiles.of(settings)
    rule_set = _rule_set(settings, rule_files)
    store = open_store(settings.store_path)
    lease = Lease(settings.store_path)
    lease.acquire()
    stack.callback(lease.release)
    stack.callback(lease.note_jvm, None)  # a clean end leaves nothing for the next run to wait for
    stop = stop or threading.Event()
    landing = _checked_landing(settings, store, stop)
    config = _batch_config(settings, store, rebuild, now_us)
    check_source(config)
    rule_sets = RuleSets(store)
    before = rule_sets.in_force()
    rule_sets.put(rule_set, settings.group_by, now_us)
    log_new_rules(store, before.rules if before else None, rule_set, settings.config_file)
    metrics = _metrics_state(settings)
    run = Run(
        settings=settings,
        store=store,
        config=config,
        outbox=Outbox(store),
        rule_files=rule_files,
        rule_set=rule_set,
        metrics=metrics,
        lease=lease,
        stop=stop,
        stack=stack,
        dry_run=dry_run,
        landing=landing,
    )
    if not registry.names(settings.sinks, MessageKind.TAGS):
        log.info("no sink in the config takes tags: traces are not tagged")
    sinks = registry.names(settings.sinks, dry_run=dry_run)
    context = sink_context(settings, store, once=once)
    run.deliveries += registry.deliveries(sinks, context, run.outbox, metrics.delivered)
    return run


def _rule_set(settings: Settings, rule_files: RuleFiles) -> RuleSet:
    """The rules of the config, once everything in it that names them is right."""
    loaded = rule_files.load()
    if loaded.rule_set is None:
        raise RuleFilesError(loaded.errors)
    if problems := dataset_faults(settings, loaded.rule_set):
        raise ConfigError(problems)
    return loaded.rule_set


def _metrics_state(settings: Settings) -> MetricsState:
    buckets_s = settings.metrics.buckets_s if settings.metrics else BUCKETS_S
    return MetricsState(settings.group_by, buckets_s=buckets_s)


def _checked_landing(settings: Settings, store: Store, stop: threading.Event) -> Landing | None:
    """What brings traces into the store, if the source needs that, once the source has been looked at."""
    settings.source.check(settings.place)
    landing = settings.source.landing(store, settings.place, stop.is_set)
    if landing is not None:
        store.table("traces").create()
    return landing


def _batch_config(settings: Settings, store: Store, rebuild: bool, began_us: int) -> BatchConfig:
    checkpoint = checkpoint_of(settings.store_path)
    return BatchConfig(
        store_path=settings.store_path,
        stream_id=stream_id(store, checkpoint, rebuild=rebuild),
        checkpoint=checkpoint,
        config_hash=settings.config_hash,
        group_by=settings.group_by,
        include_evaluation=settings.include_evaluation,
        usage_from_spans=settings.usage_from == "spans",
        dedupe_horizon_us=settings.dedupe_horizon,
        table=settings.source.query_table(settings.place),
        run_began_us=began_us,
    )


def spark_of(run: Run) -> Any:
    """The Spark session; its JVM's pid goes into the lease, for the run that comes after a kill."""
    spark = session(run.settings.spark)
    if not re.match(r"local(\[|$)", run.settings.spark.master):
        run.stack.callback(spark.stop)  # frees the executors of a cluster; a local JVM ends with us
    process = getattr(getattr(spark, "_sc", None), "_gateway", None)
    run.lease.note_jvm(getattr(getattr(process, "proc", None), "pid", None))
    return spark
