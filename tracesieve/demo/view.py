"""What the demo shows of its picture: one line off a terminal, a live page of 80x24 on one, and the end."""

from __future__ import annotations

from collections.abc import Iterator

from tracesieve.analysis.candidates import lines as candidate_lines
from tracesieve.demo.picture import MINUTES, Picture
from tracesieve.demo.stage import Stage
from tracesieve.terminal import plain

_BARS = " ▁▂▃▄▅▆▇█"
_MOST_ALERTS = 2  # on the page
_PREFIX = "tracesieve_"
_WAITING = "waiting for the first traces …"

Styled = tuple[str, str]  # a line and its style


def line(picture: Picture) -> str:
    """The picture in one line."""
    report = picture.report
    if report is None or not report["traces"]:
        return _WAITING
    return (
        f"{report['traces']} traces, {report['error_rate']:.0%} errors, p50 {_seconds(report['p50_ms'])}, "
        f"p95 {_seconds(report['p95_ms'])}, {len(picture.firing)} alerts, {picture.tagged} tagged, "
        f"{sum(picture.datasets.values())} dataset records"
    )


def page(picture: Picture, stage: Stage, elapsed_s: float, phase: str) -> Iterator[Styled]:
    """The picture as at most 23 lines of at most 80 columns."""
    yield f"tracesieve demo   {int(elapsed_s) // 60}:{int(elapsed_s) % 60:02d}   {phase}", "bold"
    yield "a support agent: its model endpoint starts to fail, its retriever slows down", "dim"
    yield "", ""
    yield from _numbers(picture)
    yield "", ""
    yield from _alerts(picture)
    yield "", ""
    yield from _candidates(picture)
    yield "", ""
    for words in where_to_look(stage):
        yield words, ""
    yield "Ctrl-C ends the demo and removes everything", "dim"


def _numbers(picture: Picture) -> Iterator[Styled]:
    report = picture.report
    if report is None or not report["traces"]:
        yield _WAITING, "dim"
        return
    numbers = f"traces {report['traces']}   errors {report['errors']} ({report['error_rate']:.1%})"
    latency = f"P50 {_seconds(report['p50_ms'])}   P95 {_seconds(report['p95_ms'])}"
    yield f"LAST {MINUTES} MINUTES", "bold"
    yield f"  {numbers}   {latency}   ${report['cost_usd'] or 0:.2f}", ""
    top = max(max(traces for traces, _ in picture.minutes), 1)
    traffic = "".join(_bar(traces / top) for traces, _ in picture.minutes)
    yield f"  traffic  {traffic}  a minute each, at most {top}", "cyan"
    rates = [errors / traces if traces else 0.0 for traces, errors in picture.minutes]
    yield f"  failing  {''.join(map(_bar, rates))}  share of each minute", "red"


def _candidates(picture: Picture) -> Iterator[Styled]:
    """Two lines, whatever there is: how many matching traces are tagged, and in how many records."""
    found = picture.report["categories"] if picture.report else []
    tagged = [f"{row['category']} {row['tagged'] or 0} of {row['matched']}" for row in found]
    yield f"TAGS      {'   '.join(tagged) or 'none yet'}", ""
    records = [f"{row['category']} {row['records']}" for row in found if row["records"]]
    yield f"DATASETS  {_PREFIX}…   {'   '.join(records)}" if records else "DATASETS  none yet", ""


def _alerts(picture: Picture) -> Iterator[Styled]:
    firing = len(picture.firing)
    shown = f", {_MOST_ALERTS} of them here" if firing > _MOST_ALERTS else ""
    yield f"ALERTS  {firing} firing{shown}", "bold"
    for alert in picture.firing[:_MOST_ALERTS]:
        yield f"  {alert['rule']} ({alert['severity']}), {len(alert['evidence'])} traces as evidence", "red"
        met, _, points_to = alert["summary"].partition(": ")
        yield f"    {met}", ""
        yield f"    {points_to}", "dim"


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
    for alert in picture.alerts:
        if alert["reason"] == "revised":  # late traces moved its beginning
            continue
        met, _, points_to = plain(alert["summary"]).partition(": ")
        yield f"  {alert['status'].upper()} {alert['rule']} ({alert['severity']}): {met}:"
        yield f"    {points_to}"
        if evidence := alert["evidence"]:
            yield f"    evidence: {', '.join(evidence[:2])}{', …' if len(evidence) > 2 else ''}"
    if picture.report:
        yield ""
        yield from candidate_lines(picture.report)
        yield ""
    when = "no alert yet" if alerted_s is None else f"first alert {alerted_s:.0f} s after the start"
    yield f"  {when}; {picture.tagged} traces tagged"


def _seconds(milliseconds: float | None) -> str:
    return "-" if milliseconds is None else f"{milliseconds / 1000:.1f} s"


def _bar(share: float) -> str:
    return _BARS[min(8, max(0, round(share * 8)))] if share else _BARS[0]
