"""``tracesieve outbox``: the deliveries that wait or were refused for good; try them again or drop them."""

from __future__ import annotations

import time

import click

from tracesieve.errors import AnswerIsNoError
from tracesieve.json_output import echo_json, with_times
from tracesieve.terminal import fitted, plain

_CONFIG = click.option("-c", "config", default="tracesieve.yaml", show_default=True, help="the config file")
_JSON = click.option("--json", "as_json", is_flag=True, help="one JSON document on stdout")


@click.group("outbox")
def command() -> None:
    """List, retry or drop deliveries."""


@command.command("list")
@_CONFIG
@_JSON
def list_(config: str, as_json: bool) -> None:
    """Every delivery that waits, or was refused or dropped."""
    from store import open_store
    from store.outbox import Outbox
    from tracesieve.config.loading import load_settings

    rows = Outbox(open_store(load_settings(config).store_path, create=False)).rows()
    if as_json:
        names = ("key", "sink", "target", "outcome", "detail", "created_us")
        shown = [{name: row[name] for name in names} for row in rows]
        echo_json({"deliveries": [with_times(row, created="created_us") for row in shown]})
        return
    for row in rows:  # a key is shown whole, to be copied to `outbox retry`; a server's long answer is cut
        click.echo(plain(f"{row['key']}  {row['sink']}  {row['outcome'] or 'waiting'}"))
        click.echo(fitted(f"    {row['target']}  {row['detail'] or ''}".rstrip()))
    click.echo(f"{len(rows)} deliveries")


@command.command("retry")
@_CONFIG
@click.argument("keys", nargs=-1)
def retry(config: str, keys: tuple[str, ...]) -> None:
    """Try the deliveries KEYS again (all that were refused, without KEYS); not while a run goes on."""
    _set_outcome(config, keys, "requeued", ("dead", "dropped") if keys else ("dead",))


@command.command("drop")
@_CONFIG
@click.argument("keys", nargs=-1, required=True)
def drop(config: str, keys: tuple[str, ...]) -> None:
    """Never try the deliveries KEYS again; not while a run goes on."""
    _set_outcome(config, keys, "dropped", (None, "retry", "requeued", "dead"))


def _set_outcome(config: str, keys: tuple[str, ...], outcome: str, among: tuple[str | None, ...]) -> None:
    """Write the outcome under the store's lease: the table has one writer at a time."""
    from store import open_store
    from store.lease import Lease
    from store.outbox import Outbox
    from tracesieve.config.loading import load_settings

    settings = load_settings(config)
    outbox = Outbox(open_store(settings.store_path, create=False))
    lease = Lease(settings.store_path)
    lease.acquire()
    try:
        wanted = [
            row["key"]
            for row in outbox.rows()
            if row["outcome"] in among and (not keys or row["key"] in keys)
        ]
        done = outbox.requeue(wanted, outcome, time.time_ns() // 1000)
    finally:
        lease.release()
    missing = sorted(set(keys) - set(wanted))
    click.echo(f"{done} deliveries {outcome}")
    if missing:
        raise AnswerIsNoError(f"no such delivery: {', '.join(missing)} (see `tracesieve outbox list`)")
