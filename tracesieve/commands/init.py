"""``tracesieve init``: look at an MLflow server or a Delta table, and write a config with every key
explained.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tracesieve.errors import AnswerIsNoError, TracesieveError
from tracesieve.terminal import plain, table

if TYPE_CHECKING:
    from streams.sources.delta_traces.shape import Column
    from streams.sources.mlflow.survey import Surveyed

_VARIABLE = "MLFLOW_TRACKING_URI"
_SHOWN = 30


@click.command("init")
@click.option("-c", "config", default="tracesieve.yaml", show_default=True, help="the config file to write")
@click.option("--tracking-uri", help=f"an MLflow server  [default: {_VARIABLE}]")
@click.option(
    "--experiment", "experiments", multiple=True, help="an experiment, by name or id; may be repeated"
)
@click.option("--table", "delta", help="a Delta table of traces, instead of a server")
@click.option("--force", is_flag=True, help="write over a file that is there")
@click.option("--json", "as_json", is_flag=True, help="one JSON document on stdout; asks nothing")
def command(
    config: str,
    tracking_uri: str | None,
    experiments: tuple[str, ...],
    delta: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Write a config for an MLflow server or a Delta table.

    Without --experiment, a person is asked which ones; off a terminal all that have traces are taken.
    """
    file = Path(config)
    if file.exists() and not force:
        raise TracesieveError(
            f"{plain(config)} is there already: --force writes over it, -c names another file"
        )
    if delta and (tracking_uri or experiments):
        raise click.UsageError("either --table, or --tracking-uri and --experiment")
    uri = tracking_uri or os.environ.get(_VARIABLE)
    if not delta and not uri:
        raise click.UsageError(
            f"name an MLflow server (--tracking-uri, or {_VARIABLE}) or a Delta table (--table)"
        )
    document = (
        _from_table(file, str(delta), as_json) if delta else _from_server(str(uri), experiments, as_json)
    )
    _write(file, document["config"])
    document = {"file": str(file), **document}
    if as_json:
        click.echo(json.dumps(document))
    else:
        click.echo(f"\nwrote {plain(config)}, with every key there is")
        flag = "" if config == "tracesieve.yaml" else f" -c {plain(config)}"
        if document["ready"]:
            click.echo(
                f"next: `tracesieve run --once --dry-run{flag}` (nothing leaves), then `tracesieve run{flag}`"
            )
    if not document["ready"]:
        raise AnswerIsNoError(
            f"before `tracesieve run`: name the missing columns under source.columns in {plain(config)}"
        )


def _write(file: Path, chosen: dict[str, Any]) -> None:
    from tracesieve.config.template import rendered

    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        fresh.write_text(rendered(chosen), encoding="utf-8")
        fresh.replace(file)
    except OSError as error:
        raise TracesieveError(f"{plain(file)} cannot be written: {error.strerror}") from error


def _from_server(uri: str, wanted: tuple[str, ...], as_json: bool) -> dict[str, Any]:
    from streams.sources.mlflow.survey import survey

    there = survey(uri)
    if not as_json:
        click.echo(f"experiments of {plain(uri)}")
        rows = [
            (n, one.name, one.id, "?" if one.traces is None else f"{one.traces:,}")
            for n, one in enumerate(there, 1)
        ]
        click.echo("\n".join(table(("", "name", "id", "traces"), rows[:_SHOWN], numbers=(0, 2, 3))))
        if len(rows) > _SHOWN:
            click.echo(f"and {len(rows) - _SHOWN} more")
    chosen = _named(there, wanted, uri) if wanted else _asked(there, as_json)
    source = {"kind": "mlflow", "tracking_uri": uri, "experiments": [one.name for one in chosen]}
    found = [{"id": one.id, "name": one.name, "traces": one.traces, "chosen": one in chosen} for one in there]
    return {
        "config": {"source": source, "mlflow": {"tracking_uri": uri}},
        "experiments": found,
        "ready": True,
    }


def _named(there: list[Surveyed], wanted: tuple[str, ...], uri: str) -> list[Surveyed]:
    by = {one.id: one for one in there} | {one.name: one for one in there}
    if missing := [name for name in wanted if name not in by]:
        known = ", ".join(one.name for one in there[:50])
        raise TracesieveError(f"--experiment: {uri} has no {', '.join(missing)}; there are: {known}")
    return list(dict.fromkeys(by[name] for name in wanted))


def _asked(there: list[Surveyed], as_json: bool) -> list[Surveyed]:
    """Those that a person picks; those with traces where there is nobody to ask."""
    filled = [one for one in there if one.traces] or there
    if as_json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return filled
    usual = ",".join(str(there.index(one) + 1) for one in filled)
    while True:
        answer = click.prompt("which? numbers, commas between them", default=usual)
        try:
            picked = [int(part) for part in str(answer).replace(" ", ",").split(",") if part]
        except ValueError:
            picked = []
        if picked and all(1 <= number <= len(there) for number in picked):
            return [there[number - 1] for number in dict.fromkeys(picked)]
        click.echo(f"write numbers from 1 to {len(there)}, such as 1,3")


def _from_table(file: Path, delta: str, as_json: bool) -> dict[str, Any]:
    from streams.sources.delta_traces.shape import shape

    columns = shape(delta)
    if not as_json:
        click.echo(f"columns of {plain(delta)}")
        click.echo(
            "\n".join(table(("a trace's", "the table's", "must be", ""), [_row(one) for one in columns]))
        )
    mapping = {one.name: one.theirs for one in columns if one.mapped}
    missing = [one for one in columns if one.problem and (one.needed or one.theirs)]
    relative = "://" not in delta and not Path(delta).is_absolute()
    where = os.path.relpath(delta, file.resolve().parent) if relative else delta
    source: dict[str, Any] = {"kind": "delta_traces", "table": where}
    if mapping or missing:
        source["columns"] = mapping | {one.name: "YOUR_COLUMN" for one in missing}
    found = [
        {"name": one.name, "column": one.theirs, "needed": one.needed, "problem": one.problem or None}
        for one in columns
    ]
    return {"config": {"source": source}, "columns": found, "ready": not missing}


def _row(one: Column) -> tuple[str, str, str, str]:
    if one.problem:
        return one.name, one.theirs or "-", one.type, f"NO: {one.problem}"
    said = "ok, by source.columns" if one.mapped else "ok" if one.theirs else "absent, may be"
    return one.name, one.theirs or "-", one.type, said
