"""``tracesieve undo``: take back every tag that was written; what people set stays."""

from __future__ import annotations

import json
import time

import click

from tracesieve.errors import OutsideError, TracesieveError

_DRAIN_S = 600.0


@click.command("undo")
@click.option("-c", "config", default="tracesieve.yaml", show_default=True, help="the config file")
@click.option("--json", "as_json", is_flag=True, help="one JSON document on stdout")
def command(config: str, as_json: bool) -> None:
    """Remove every tag that was written to MLflow; not while a run goes on.

    A trace whose ``eval_candidate`` a person has changed keeps it.  Repeating it changes nothing.
    """
    import polars as pl

    from sinks.delivery import Delivery, drain
    from sinks.mlflow_tags import MlflowTags
    from store import open_store
    from store.lease import Lease
    from store.outbox import Outbox, Wish
    from tracesieve.settings import load_settings

    settings = load_settings(config)
    if settings.mlflow is None:
        raise TracesieveError("there is no `mlflow:` in the config: no tags were written by it")
    store = open_store(settings.store_path, create=False)
    lease = Lease(settings.store_path)
    lease.acquire()
    try:
        outbox = Outbox(store)
        ours = pl.col("sink") == MlflowTags.name
        targets = sorted(store.table("outbox").read(["target"], ours)["target"].unique().to_list())
        wishes = [Wish(MlflowTags.name, one, {"trace_id": one, "category": None, "rules": []}) for one in targets]
        made = outbox.wish(wishes, time.time_ns() // 1000)
        sink = Delivery(MlflowTags(settings.mlflow.tracking_uri), outbox)
        drain([sink], outbox, lambda: time.time_ns() // 1000, _DRAIN_S if outbox.count(MlflowTags.name) else 0)
        waiting = outbox.count(MlflowTags.name)
    finally:
        lease.release()
    if as_json:
        click.echo(json.dumps({"taken_back": made - min(made, waiting), "waiting": waiting}))
    else:
        click.echo(f"tags of {made - min(made, waiting)} traces taken back")
    if waiting:
        raise OutsideError(f"{waiting} deliveries still wait: repeat `tracesieve undo` when the server answers")
