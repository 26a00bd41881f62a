"""What the demo shows: one picture of the store a second, as lines off a terminal, as a live page of 80x24 on
one.

The picture is read as any follower would read it, from the tables, without Spark.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from rules.units import MINUTE_US
from tracesieve.demo.stage import Stage
from tracesieve.terminal import plain

_RANGE_US = 30 * MINUTE_US
_BARS = " ▁▂▃▄▅▆▇█"
_SHOWN = 2  # alerts on the page
_PREFIX = "tracesieve_"
_GRAVITY = {"critical": 0, "warning": 1, "info": 2}


@dataclass(frozen=True)
class Picture:
    """The last half hour, every alert, what was delivered; ``minutes`` is (traces, errors) by minute of end,
    oldest first.
    """

    report: dict[str, Any] | None = None
    minutes: list[tuple[int, int]] = field(default_factory=list)
    alerts: list[dict[str, Any]] = field(default_factory=list)
    tagged: int = 0
    datasets: dict[str, int] = field(default_factory=dict)

    @property
    def found(self) -> bool:
        """An alert fired, traces are tagged and datasets hold records."""
        return bool(self.alerts and self.tagged and self.datasets)

    @property
    def firing(self) -> list[dict[str, Any]]:
        """The alerts that fire now, the gravest first."""
        return sorted(
            (one for one in self.alerts if one["status"] == "firing"),
            key=lambda one: _GRAVITY[one["severity"]],
        )


def seen(stage: Stage) -> Picture:
    """What the store says now."""
    import polars as pl

    from sinks.base import MessageKind
    from sinks.registry import consumers
    from store import StoreError, net_facts, open_store
    from tracesieve.analysis.report import report
    from tracesieve.commands.alerts import listed

    try:
        store = open_store(str(stage.folder / "store"), create=False)
    except StoreError:
        return Picture()
    now = time.time_ns() // 1000
    deliveries = store.table("deliveries").read(["sink", "target", "outcome"])
    tagged = deliveries.filter(
        pl.col("sink").is_in(consumers(MessageKind.TAGS)) & (pl.col("outcome") == "delivered")
    )["target"].n_unique()
    records = store.table("records").read(["dataset", "record"]).unique()
    facts = net_facts(store.table("facts").read(where=pl.col("end_us") >= now - _RANGE_US))
    ended = Counter(facts["end_us"] // MINUTE_US)
    failed = Counter(facts.filter(pl.col("error"))["end_us"] // MINUTE_US)
    last = now // MINUTE_US
    return Picture(
        report(store, now - _RANGE_US, now, [], now),
        [(ended[minute], failed[minute]) for minute in range(last - 29, last + 1)],
        listed(store),
        tagged,
        dict(sorted(Counter(records["dataset"]).items())),
    )


def line(picture: Picture) -> str:
    """The picture in one line."""
    report = picture.report
    if report is None or not report["traces"]:
        return "waiting for the first traces …"
    said = (
        f"{report['traces']} traces, {report['error_rate']:.0%} errors, p50 {_s(report['p50_ms'])}, p95 "
        f"{_s(report['p95_ms'])}"
    )
    return (
        f"{said}, {len(picture.firing)} alerts, {picture.tagged} tagged, "
        f"{sum(picture.datasets.values())} dataset records"
    )


def page(picture: Picture, stage: Stage, elapsed_s: float, phase: str) -> Iterator[tuple[str, str]]:
    """The picture as at most 23 lines of at most 80 columns, each with a style."""
    yield f"tracesieve demo   {int(elapsed_s) // 60}:{int(elapsed_s) % 60:02d}   {phase}", "bold"
    yield "a support agent: its model endpoint starts to fail, its retriever slows down", "dim"
    yield "", ""
    report = picture.report
    if report is None or not report["traces"]:
        yield "waiting for the first traces …", "dim"
    else:
        numbers = f"traces {report['traces']}   errors {report['errors']} ({report['error_rate']:.1%})"
        yield "LAST 30 MINUTES", "bold"
        yield (
            f"  {numbers}   P50 {_s(report['p50_ms'])}   P95 {_s(report['p95_ms'])}   "
            f"${report['cost_usd'] or 0:.2f}",
            "",
        )
        top = max(max(traces for traces, _ in picture.minutes), 1)
        yield (
            f"  traffic  {''.join(_bar(traces / top) for traces, _ in picture.minutes)}  a minute each, at "
            f"most {top}",
            "cyan",
        )
        rates = [errors / traces if traces else 0.0 for traces, errors in picture.minutes]
        yield f"  failing  {''.join(map(_bar, rates))}  share of each minute", "red"
    yield "", ""
    firing = len(picture.firing)
    yield f"ALERTS  {firing} firing" + (f", {_SHOWN} of them here" if firing > _SHOWN else ""), "bold"
    for alert in picture.firing[:_SHOWN]:
        yield f"  {alert['rule']} ({alert['severity']}), {len(alert['evidence'])} traces as evidence", "red"
        met, _, points_to = alert["summary"].partition(": ")
        yield f"    {met}", ""
        yield f"    {points_to}", "dim"
    yield "", ""
    candidates = "   ".join(
        f"{name} {count}" for name, count in sorted((report or {"candidates": {}})["candidates"].items())
    )
    yield f"TAGS      {picture.tagged} traces tagged:   {candidates}", ""
    datasets = [f"{name.removeprefix(_PREFIX)} {count}" for name, count in picture.datasets.items()]
    yield f"DATASETS  {_PREFIX}…   {'   '.join(datasets)}" if datasets else "DATASETS  none yet", ""
    yield "", ""
    for words in where_to_look(stage):
        yield words, ""
    yield "Ctrl-C ends the demo and removes everything", "dim"


def where_to_look(stage: Stage) -> list[str]:
    """Where a person goes on while the demo is up."""
    return [
        f"MLflow    {stage.uri}   filter: tags.eval_candidate = 'error_case'",
        f"metrics   {stage.metrics_url}",
        f"commands  tracesieve report -c {stage.config}",
    ]


def ending(picture: Picture, alerted_s: float | None) -> Iterator[str]:
    """What was found, in full."""
    yield "What was found"
    for alert in (
        one for one in picture.alerts if one["reason"] != "revised"
    ):  # late traces moved its beginning
        yield f"  {alert['status'].upper()} {alert['rule']} ({alert['severity']}): {plain(alert['summary'])}"
        if alert["evidence"]:
            yield (
                "    evidence: "
                f"{', '.join(alert['evidence'][:2])}{', …' if len(alert['evidence']) > 2 else ''}"
            )
    if picture.report:
        for category, count in sorted(picture.report["candidates"].items()):
            yield f"  {count} traces are candidates for evaluation: {plain(category)}"
    for name, count in picture.datasets.items():
        yield f"  {count} records in the dataset {plain(name)}"
    when = "no alert yet" if alerted_s is None else f"first alert {alerted_s:.0f} s after the start"
    yield f"  {when}; {picture.tagged} traces tagged"


def _s(milliseconds: float | None) -> str:
    return "-" if milliseconds is None else f"{milliseconds / 1000:.1f} s"


def _bar(share: float) -> str:
    return _BARS[min(8, max(0, round(share * 8)))] if share else _BARS[0]
