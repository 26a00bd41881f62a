"""``tracesieve search``: the traces of a range that a condition matches, and a dataset made of them.

It starts no Java.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from rules.units import DAY_US, parse_time_us, readable_time
from tracesieve.condition import parsed
from tracesieve.errors import TracesieveError
from tracesieve.json_output import echo_json
from tracesieve.terminal import columns, group_names, plain, short_time, table, wrapped
from tracesieve.time_range import range_us

if TYPE_CHECKING:
    import polars as pl

    from store import Store
    from tracesieve.config.settings import Settings
    from tracesieve.run.picks import Target

_LISTED = 20
_ID = 12  # characters of an id that are shown, or as many as tell it from the others
_GROUP, _REQUEST = 20, 12  # columns of a group at most, of a request at least
_EXPERIMENTS = 20


@click.command("search")
@click.argument("condition")
@click.option("-c", "config", default="tracesieve.yaml", show_default=True, help="the config file")
@click.option("--last", help="traces that ended within this long: 30m, 7d  [default: 24h]")
@click.option("--from", "start", help="instead of --last: traces that ended from this time on")
@click.option("--to", "end", help="traces that ended before this time, now if left out")
@click.option("--experiment", "names", multiple=True, metavar="NAME", help="by name or id; may be repeated")
@click.option(
    "--limit", type=click.IntRange(1), metavar="N", help=f"list the newest N  [default: {_LISTED}; JSON: all]"
)
@click.option("--to-dataset", "dataset", metavar="NAME", help="put all that match into this dataset")
@click.option("--remove", is_flag=True, help="with --to-dataset: take them out of it again")
@click.option("--count", "only_count", is_flag=True, help="only say how many match")
@click.option("--json", "as_json", is_flag=True, help="one JSON document on stdout")
def command(
    condition: str,
    config: str,
    last: str | None,
    start: str | None,
    end: str | None,
    names: tuple[str, ...],
    limit: int | None,
    dataset: str | None,
    remove: bool,
    only_count: bool,
    as_json: bool,
) -> None:
    """List or count the traces that CONDITION matches, the newest first.

    CONDITION is written as in rules: every MLflow trace filter, with OR, NOT, parentheses, spans and sums.
    All experiments of the config are searched unless --experiment names some; it is always said which.

    --to-dataset puts all that match into a dataset, as a rule with that condition would; the quotas of the
    dataset hold. A run that goes on does it; without one it is done here.
    """
    from store import open_store
    from tracesieve.analysis.experiments import chosen, experiments
    from tracesieve.analysis.search import Search, document
    from tracesieve.config.loading import load_settings
    from tracesieve.config.trace_table import trace_table

    if remove and dataset is None:
        raise TracesieveError("--remove goes with --to-dataset NAME")
    wanted = parsed("CONDITION", condition)
    settings = load_settings(config)
    into = None if dataset is None else _target(settings, dataset)
    now = time.time_ns() // 1000
    from_us, to_us = range_us(last, start, end, now)
    to_us = now if to_us is None else to_us
    from_us = to_us - DAY_US if from_us is None else from_us
    store = open_store(settings.store_path, create=False)
    there = experiments(store, settings.source.watched)
    search = Search(wanted, chosen(there, names) if names else there, from_us, to_us)
    content = trace_table(settings)
    found = search.selected(store, content, now)
    most = 0 if only_count else limit or (None if as_json else _LISTED)
    result = document(search, found, store, content, most)
    if into is not None:
        result["dataset"] = _picked(settings, store, found.facts, into, None if remove else condition)
    echo_json(result) if as_json else show(result)


def _target(settings: Settings, name: str) -> Target:
    # After the config is known to be right: this loads the clients of the sinks.
    from tracesieve.run.picks import target

    return target(settings, name)


def _picked(
    settings: Settings, store: Store, facts: pl.DataFrame, into: Target, condition: str | None
) -> dict[str, Any]:
    from tracesieve.log import set_up_logging
    from tracesieve.run.picks import pick

    level = "warning" if settings.log.level.lower() == "info" else settings.log.level
    set_up_logging(level, settings.log.format)
    traces = facts.select("trace_id", "start_us")
    waiting = pick(settings, store, traces, into, condition, lambda line: click.echo(line, err=True))
    done = "taken_out" if condition is None else "put_in"
    return {"name": into.name, done: traces.height, "waiting": waiting}


def show(result: dict[str, Any]) -> None:
    """What was searched, a line a trace, and what is not known."""
    first, end = (readable_time(parse_time_us(result[key])) for key in ("from", "to"))
    click.echo(
        wrapped(f"from {first} to {end}: {result['matched']:,} of {result['searched']:,} traces match")
    )
    for line in _experiments(result["experiments"]):
        click.echo(wrapped(line, hang=2))
    if rows := result["traces"]:
        click.echo("\n" + "\n".join(_table(rows)) + "\n")
        if len(rows) < result["matched"]:
            click.echo(f"and {result['matched'] - len(rows):,} older ones (--limit N lists more, --json all)")
    for line in _notes(result):
        click.echo(wrapped(line))
    if dataset := result.get("dataset"):
        click.echo(wrapped(_dataset(dataset)))


def _experiments(found: list[dict[str, Any]]) -> list[str]:
    """The experiments that were searched, those with most traces first."""
    if not found:
        return ["searched: no experiment has traces yet"]
    ordered = sorted(found, key=lambda one: (-one["traces"], str(one["name"]), str(one["id"])))
    lines = [f"searched {_experiment(one)}" for one in ordered[:_EXPERIMENTS]]
    rest = ordered[_EXPERIMENTS:]
    if rest:
        traces, matched = (sum(one[key] for one in rest) for key in ("traces", "matched"))
        lines.append(f"searched {len(rest)} more experiments: {traces:,} traces, {matched:,} match (--json)")
    return lines


def _experiment(one: dict[str, Any]) -> str:
    name = one["name"] or "(no name)"
    shown = f"{name} ({one['id']})" if one["id"] and one["id"] != one["name"] else name
    gone = "" if one["watched"] else ", no longer in source.experiments"
    return f"{shown}: {one['traces']:,} traces, {one['matched']:,} match{gone}"


def _table(rows: list[dict[str, Any]]) -> list[str]:
    ids = _short([str(row["trace_id"]) for row in rows])
    years = len({row["ends"][:4] for row in rows}) > 1
    groups = [plain(name, _GROUP) for name in group_names([row["group"] for row in rows])]
    cells = [
        (
            one,
            _moment(row["ends"], years),
            row["state"],
            _took(row["duration_ms"]),
            group,
        )
        for one, row, group in zip(ids, rows, groups, strict=True)
    ]
    headings = ("trace", "ended (UTC)", "state", "took", "group", "request")
    used = sum(max(len(str(cell)) for cell in column) + 2 for column in zip(headings, *cells, strict=False))
    room = max(columns() - used, _REQUEST)
    requests = (" ".join((row["request"] or "-").split()) for row in rows)
    full = [(*cell, plain(request, room)) for cell, request in zip(cells, requests, strict=True)]
    return table(headings, full, numbers=(0, 1, 3))


def _moment(time: str, with_year: bool) -> str:
    return time[:19].replace("T", " ") if with_year else time[5:19].replace("T", " ")


def _short(ids: list[str]) -> list[str]:
    """The ids, or beginnings of them that are different, which `explain` and `profile` take as well."""
    length = next(size for size in range(_ID, 10**6) if len({one[:size] for one in ids}) == len(set(ids)))
    return [one[:length] for one in ids]


def _took(ms: float | None) -> str:
    return "-" if ms is None else short_time(ms * 1000)


def _dataset(done: dict[str, Any]) -> str:
    """What became of the dataset."""
    left = done["waiting"]
    rest = (
        f"; {left:,} messages about records wait to be delivered (`tracesieve outbox list`)" if left else ""
    )
    name = done["name"]
    if "taken_out" in done:
        kept = "those that a rule or a person wants there stay"
        return f"No search keeps these {done['taken_out']:,} traces in {name} any more; {kept}{rest}."
    quotas = "what its quotas leave out, `tracesieve datasets show` says"
    return f"{done['put_in']:,} traces were put into {name} ({quotas}){rest}."


def _notes(result: dict[str, Any]) -> list[str]:
    from tracesieve.analysis.where import gone_lines

    found = gone_lines(result["content_gone"])
    through = result["final_through"]
    if through is None:
        found.append("Not everything has been read yet.")
    elif through < result["to"]:
        found.append(f"Counted through {readable_time(parse_time_us(through))}.")
    return found
