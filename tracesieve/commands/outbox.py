"""``tracesieve outbox``: the deliveries that wait or were refused for good; try them again or drop them."""

from __future__ import annotations

import time
from collections import Counter

import click

from rules.units import iso_time
from tracesieve.errors import AnswerIsNoError
from tracesieve.json_output import echo_json
from tracesieve.terminal import fitted, wrapped

_CONFIG = click.option("-c", "config", default="tracesieve.yaml", show_default=True, help="the config file")
_JSON = click.option("--json", "as_json", is_flag=True, help="one JSON document on stdout")


@click.group("outbox")
def command() -> None:
    """List, retry or drop deliveries."""


@command.command("list")
@_CONFIG
@_JSON
def list_(config: str, as_json: bool) -> None:
    """Every delivery that waits, or was refused or dropped: what it is about, and why."""
    from store import open_store
    from tracesieve.analysis.deliveries import listed, subject
    from tracesieve.config.loading import load_settings

    rows = listed(open_store(load_settings(config).store_path, create=False))
    if as_json:
        echo_json({"deliveries": rows})
        return
    for row in rows:
        head = f"{row['number']:>6}  {row['state']:8} {iso_time(row['created_us'])}  {row['sink']}"
        click.echo(fitted(head))
        click.echo(wrapped(subject(row), " " * 8))
        if row["state"] == "refused":
            click.echo(wrapped(row["detail"] or "", " " * 8))
        elif row["detail"]:  # what is tried again may have a long answer of a server: its beginning will do
            click.echo(fitted(f"{' ' * 8}{row['detail']}"))
    counts = Counter(row["state"] for row in rows)
    states = [state for state in ("refused", "waiting", "dropped") if counts[state]]
    found = ", ".join(f"{counts[state]} {state}" for state in states)
    click.echo(f"{len(rows)} deliveries{f': {found}' if found else ''}")


@command.command("retry")
@_CONFIG
@click.argument("which", nargs=-1)
def retry(config: str, which: tuple[str, ...]) -> None:
    """Try deliveries again: those of WHICH (a number of `outbox list`, a trace's id or a rule's), or without
    WHICH all that were refused; not while a run goes on.
    """
    _set_outcome(config, which, "requeued", ("dead", "dropped") if which else ("dead",))


@command.command("drop")
@_CONFIG
@click.argument("which", nargs=-1, required=True)
def drop(config: str, which: tuple[str, ...]) -> None:
    """Never try the deliveries WHICH again (a number of `outbox list`, a trace's id or a rule's); not while a
    run goes on.
    """
    _set_outcome(config, which, "dropped", (None, "retry", "requeued", "dead"))


def _set_outcome(config: str, which: tuple[str, ...], outcome: str, among: tuple[str | None, ...]) -> None:
    """Write the outcome under the store's lease: the table has one writer at a time."""
    from store import open_store
    from store.lease import Lease
    from store.outbox import Outbox
    from tracesieve.analysis.deliveries import listed, names
    from tracesieve.config.loading import load_settings

    settings = load_settings(config)
    store = open_store(settings.store_path, create=False)
    lease = Lease(settings.store_path)
    lease.acquire()
    try:
        rows = [row for row in listed(store) if row["outcome"] in among]
        named = [(row["key"], names(row, which)) for row in rows]
        wanted = [key for key, by in named if by or not which]
        done = Outbox(store).requeue(wanted, outcome, time.time_ns() // 1000)
    finally:
        lease.release()
    missing = sorted(set(which) - {name for _, by in named for name in by})
    click.echo(f"{done} deliveries {outcome}")
    if missing:
        raise AnswerIsNoError(f"no such delivery: {', '.join(missing)} (see `tracesieve outbox list`)")
