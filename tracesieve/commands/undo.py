"""``tracesieve undo``: take back every tag, issue and dataset record that was written; what people set or
edited stays.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from tracesieve.errors import AnswerIsNoError, OutsideError, TracesieveError
from tracesieve.json_output import echo_json
from tracesieve.terminal import fitted, table, wrapped

if TYPE_CHECKING:
    from sinks.undo import Plan, Undone
    from store import Store
    from tracesieve.config.settings import Settings

_DRAIN_S = 600.0


@click.command("undo")
@click.option("-c", "config", default="tracesieve.yaml", show_default=True, help="the config file")
@click.option("--dry-run", is_flag=True, help="say what would be taken back, and write nothing")
@click.option("--yes", is_flag=True, help="do not ask (nobody is asked off a terminal)")
@click.option("--json", "as_json", is_flag=True, help="one JSON document on stdout")
def command(config: str, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Remove every tag and record that was written to MLflow; not while a run goes on.

    A trace whose ``eval_candidate`` a person has changed keeps it. A dataset that is empty then is deleted,
    unless a person made it. An issue is rejected and its text taken away, unless a person changed it.
    Repeating it changes nothing.
    """
    from sinks.undo import plan
    from store import open_store
    from store.lease import Lease
    from tracesieve.config.loading import load_settings

    settings = load_settings(config)
    store = open_store(settings.store_path, create=False)
    if dry_run:
        planned = plan(store)
        echo_json({"dry_run": True, "plan": planned.as_json()}) if as_json else show(planned)
        return
    lease = Lease(settings.store_path)
    lease.acquire()
    try:
        planned = plan(store)
        if not as_json:
            show(planned)
        _ask(planned, yes)
        done = _undo(settings, store)
    finally:
        lease.release()
    _report(planned, done, as_json)


def _undo(settings: Settings, store: Store) -> Undone:
    from sinks.registry import deliveries
    from sinks.undo import undo, withdrawing
    from store.outbox import Outbox
    from tracesieve.config.sink_context import sink_context

    names = withdrawing(store)
    found = deliveries(names, sink_context(settings, store), Outbox(store))
    if gone := set(names) - {one.sink.name for one in found}:
        raise TracesieveError(
            f"the config no longer names the server that {', '.join(sorted(gone))} wrote to"
        )
    return undo(store, found, lambda: time.time_ns() // 1000, _DRAIN_S)


def _ask(planned: Plan, yes: bool) -> None:
    """Ask a person at a terminal; on stderr, so that stdout holds the document alone."""
    if yes or not (sys.stdin.isatty() and sys.stderr.isatty()) or not planned.things:
        return
    if not click.confirm(f"take back {_totals(planned)}?", err=True):
        raise AnswerIsNoError("nothing was taken back")


def _totals(planned: Plan) -> str:
    tags, traces = _number(planned.tags, "tag"), _number(planned.traces, "trace")
    if planned.assessments:
        tags = f"{tags} and {_number(planned.assessments, 'assessment')}"
    issues = f"{_number(planned.issues, 'issue')}, " if planned.issues else ""
    records = f"{_number(planned.records, 'record')} in {_number(planned.places, 'dataset')}"
    return f"{tags} on {traces}, {issues}{records}"


def _number(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def show(planned: Plan) -> None:
    """The totals, a table of experiments and one of datasets."""
    if not planned.things:
        click.echo("nothing to take back")
        return
    click.echo(wrapped(f"to be taken back: {_totals(planned)}"))
    rows = [(one.experiment or "-", one.traces, one.tags, one.records) for one in planned.parts]
    click.echo("\n" + "\n".join(table(("experiment", "traces", "tags", "records"), rows, numbers=(1, 2, 3))))
    if planned.datasets:
        click.echo("\n" + "\n".join(table(("dataset", "records"), planned.datasets.items(), numbers=(1,))))
    click.echo("\n" + wrapped("What a person set or edited stays."))


def _report(planned: Plan, done: Undone, as_json: bool) -> None:
    document = {"withdrawn": done.withdrawn, "waiting": done.waiting, "datasets_deleted": list(done.removed)}
    if as_json:
        echo_json({"dry_run": False, **document, "plan": planned.as_json()})
    else:
        if not done.waiting and planned.things:
            click.echo(wrapped(f"taken back: {_totals(planned)}"))
        for name in done.removed:
            click.echo(fitted(f"deleted the empty dataset {name}"))
    if done.waiting:
        why = f" ({done.reason})" if done.reason else ""
        raise OutsideError(
            f"{done.waiting} deliveries still wait{why}: repeat `tracesieve undo` when the server answers"
        )
    if done.reason:
        raise OutsideError(f"empty datasets are still there: {done.reason}: repeat `tracesieve undo`")
