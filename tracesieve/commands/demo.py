"""``tracesieve demo``: the whole thing at work on a simulated support agent whose model endpoint starts to fail."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from tracesieve.errors import OutsideError

PATIENCE_S = 240


@click.command("demo")
@click.option("--headless", is_flag=True, help="exit by itself once the alert fires and traces are tagged")
def command(headless: bool) -> None:
    """See the whole thing work on a simulated support agent."""
    from tracesieve.demo.story import seen, stage

    click.echo("Starting an MLflow server, a support agent with an hour of history, and the monitor …")
    with stage() as parts:
        click.echo(f"MLflow:  {parts.uri}\nMetrics: {parts.metrics_url}\n")
        alerted = 0.0
        last = ""
        try:
            while True:
                if parts.monitor.poll() is not None:
                    text = (parts.folder / "monitor.log").read_text(encoding="utf-8", errors="replace")
                    raise OutsideError(f"the monitor ended with {parts.monitor.returncode}:\n{text[-3000:]}")
                state = seen(parts)
                elapsed = time.monotonic() - parts.began
                if state["alerts"] and not alerted:
                    alerted = elapsed
                line = _line(state)
                if line != last:
                    click.echo(f"{elapsed:5.0f} s  {line}")
                    last = line
                if headless and alerted and state["tagged"] and state["records"]:
                    break
                if headless and elapsed > PATIENCE_S:
                    raise OutsideError(f"no alert after {PATIENCE_S} s")
                time.sleep(1.0)
        except KeyboardInterrupt:
            click.echo("")
        _ending(seen(parts), parts.uri, parts.metrics_url, alerted)
        sys.stdout.flush()


def _line(state: dict[str, Any]) -> str:
    report = state["report"]
    if report is None or not report["traces"]:
        return "waiting for the first traces …"
    firing = sum(row["status"] == "firing" for row in state["alerts"])
    p95 = "-" if report["p95_ms"] is None else f"{report['p95_ms'] / 1000:.1f} s"
    counts = f"{firing} alerts, {state['tagged']} tagged, {state['records']} dataset records"
    return f"{report['traces']} traces, {report['error_rate']:.0%} errors, p95 {p95}, {counts}"


def _ending(state: dict[str, Any], uri: str, metrics_url: str, alerted: float) -> None:
    click.echo("\nWhat was found")
    for row in state["alerts"]:
        click.echo(f"  {row['status'].upper()} {row['rule']} ({row['severity']}): {row['summary']}")
        click.echo(f"    evidence: {', '.join(row['evidence'][:3])}")
    report = state["report"] or {"candidates": {}}
    for category, count in sorted(report["candidates"].items()):
        click.echo(f"  {count} traces are candidates for evaluation: {category}")
    wrote = f"{state['tagged']} traces tagged, {state['records']} dataset records"
    click.echo(f"  first alert {alerted:.0f} s after the start; {wrote} in MLflow")
    click.echo(f"Where to look\n  {uri} (filter: tags.eval_candidate = 'error_case')\n  {metrics_url}")
