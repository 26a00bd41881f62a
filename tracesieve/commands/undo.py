"""``tracesieve undo``: take back every tag and dataset record that was written; what people set or edited
stays.
"""

from __future__ import annotations

import time

import click

from tracesieve.errors import OutsideError, TracesieveError
from tracesieve.json_output import echo_json

_DRAIN_S = 600.0


@click.command("undo")
@click.option("-c", "config", default="tracesieve.yaml", show_default=True, help="the config file")
@click.option("--json", "as_json", is_flag=True, help="one JSON document on stdout")
def command(config: str, as_json: bool) -> None:
    """Remove every tag and record that was written to MLflow; not while a run goes on.

    A trace whose ``eval_candidate`` a person has changed keeps it. Repeating it changes nothing.
    """
    from sinks.registry import deliveries
    from sinks.undo import undo, withdrawing
    from store import open_store
    from store.lease import Lease
    from store.outbox import Outbox
    from tracesieve.config.loading import load_settings
    from tracesieve.config.sink_context import sink_context

    settings = load_settings(config)
    store = open_store(settings.store_path, create=False)
    lease = Lease(settings.store_path)
    lease.acquire()
    try:
        names = withdrawing(store)
        found = deliveries(names, sink_context(settings, store), Outbox(store))
        if gone := set(names) - {one.sink.name for one in found}:
            raise TracesieveError(
                f"the config no longer names the server that {', '.join(sorted(gone))} wrote to"
            )
        done = undo(store, found, lambda: time.time_ns() // 1000, _DRAIN_S)
    finally:
        lease.release()
    if as_json:
        echo_json({"withdrawn": done.withdrawn, "waiting": done.waiting})
    else:
        click.echo(f"{done.withdrawn} tags and records taken back")
    if done.waiting:
        why = f" ({done.reason})" if done.reason else ""
        raise OutsideError(
            f"{done.waiting} deliveries still wait{why}: repeat `tracesieve undo` when the server answers"
        )
