"""``tracesieve datasets push``: merge a version into an MLflow dataset of its own; starts no Java."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from tracesieve.errors import TracesieveError
from tracesieve.json_output import echo_json
from tracesieve.terminal import number, wrapped

if TYPE_CHECKING:
    from store import Store
    from store.dataset_versions import StoredVersion
    from tracesieve.config.settings import Settings
    from tracesieve.datasets.push import Pushed

_NAME = re.compile(r"\w[\w .:/@-]{0,199}")


@click.command("push")
@click.argument("name", metavar="NAME[@VERSION]")
@click.option("-c", "config", default="tracesieve.yaml", show_default=True, help="the config file")
@click.option("--to", help="the MLflow dataset, made if there is none  [default: NAME@VERSION]")
@click.option("--json", "as_json", is_flag=True, help="one JSON document on stdout")
def command(name: str, config: str, to: str | None, as_json: bool) -> None:
    """Merge a version into an MLflow dataset of its own, in the experiment that it comes from.

    A repeat changes nothing. What people edited there stays.
    """
    from store import open_store
    from tracesieve.config.loading import load_settings
    from tracesieve.datasets.versions import found, short, split_name

    settings = load_settings(config)
    store = open_store(settings.store_path, create=False)
    dataset, version = split_name(name)
    chosen = found(store, dataset, version)
    target = to or f"{chosen.place.dataset}@{short(chosen)}"
    _check_target(store, target)
    done = _push(settings, store, chosen, target)
    document = {"name": target, "version": chosen.version, **vars(done)}
    if as_json:
        echo_json(document)
        return
    counts = ", ".join(f"{number:,} {what}" for what, number in vars(done).items() if what != "kept")
    kept = f"; {done.kept:,} keep what a person edited there" if done.kept else ""
    click.echo(wrapped(f"{number(chosen.records, 'record')} to {target}: {counts}{kept}"))


def _check_target(store: Store, target: str) -> None:
    if not _NAME.fullmatch(target):
        raise TracesieveError(
            f"--to {target!r}: letters, digits, spaces and `_ . : / @ -` are expected, at most 200"
        )
    if target in store.table("records").read(["dataset"])["dataset"].unique():
        raise TracesieveError(f"--to {target}: this dataset grows by itself: name another one")


def _push(settings: Settings, store: Store, version: StoredVersion, target: str) -> Pushed:
    """Raises:
    SinkError: the server failed.
    """
    from mlflow.exceptions import MlflowException

    from sinks.mlflow.config import SERVER
    from sinks.mlflow.dataset_server import DatasetServer
    from sinks.mlflow.server import classify_error
    from tracesieve.datasets.push import push
    from tracesieve.datasets.versions import records_of

    config = settings.sinks.get(SERVER.path)
    if config is None:
        raise TracesieveError("the config names no server: write `mlflow: {tracking_uri: …}`")
    try:
        server = DatasetServer(config.tracking_uri)
        dataset_id = server.dataset(target, version.place.experiment_id)
        return push(server, dataset_id, records_of(store, version))
    except MlflowException as error:
        raise classify_error(error) from error
