"""``tracesieve report``: what happened in a range of time: text, JSON, Markdown, a page; starts no Java."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import click

from rules.units import DAY_US
from tracesieve.errors import TracesieveError
from tracesieve.group_options import by_keys
from tracesieve.json_output import echo_json
from tracesieve.time_range import range_us


@click.command("report")
@click.option("-c", "config", default="tracesieve.yaml", show_default=True, help="the config file")
@click.option("--last", help="traces that ended within this long: 30m, 7d  [default: 24h]")
@click.option("--from", "start", help="instead of --last: traces that ended from this time on")
@click.option("--to", "end", help="traces that ended before this time, now if left out")
@click.option("--by", multiple=True, metavar="KEY[,KEY]", help="group by these keys of group_by alone")
@click.option("--where", "where", metavar="CONDITION", help="only traces that this matches, as rules have it")
@click.option("--json", "as_json", is_flag=True, help="one JSON document on stdout")
@click.option("--markdown", "as_markdown", is_flag=True, help="Markdown, for a pull request or a mail")
@click.option("--html", metavar="FILE", help="a page of one file, with plots; - is stdout")
def command(
    config: str,
    last: str | None,
    start: str | None,
    end: str | None,
    by: tuple[str, ...],
    where: str | None,
    as_json: bool,
    as_markdown: bool,
    html: str | None,
) -> None:
    """Errors and their patterns, latency, spikes, tokens and cost of a range of time."""
    from tracesieve.condition import parsed
    from tracesieve.config.loading import load_settings

    forms = {"--json": as_json, "--markdown": as_markdown, "--html": html is not None}
    if len(given := [name for name, one in forms.items() if one]) > 1:
        raise TracesieveError(f"{', '.join(given)}: one of them at a time")
    settings = load_settings(config)
    now = time.time_ns() // 1000
    from_us, to_us = range_us(last, start, end, now)
    to_us = now if to_us is None else to_us
    from_us = to_us - DAY_US if from_us is None else from_us
    keys = by_keys(by, settings.group_by)
    condition = parsed("--where", where) if where is not None else None
    document = _document(settings, (from_us, to_us, now), keys, condition)
    if where is not None:
        document["where"] = where
    _show(document, as_json, as_markdown, html)


def _document(
    settings: Any, times: tuple[int, int, int], keys: Sequence[str], condition: Any
) -> dict[str, Any]:
    from store import open_store
    from tracesieve.analysis.report import report
    from tracesieve.config.trace_server import trace_server
    from tracesieve.config.trace_table import trace_table
    from tracesieve.datasets.listing import listed
    from tracesieve.datasets.sets import DatasetSets

    from_us, to_us, now = times
    store, content = open_store(settings.store_path, create=False), trace_table(settings)
    only = None
    if condition is not None:
        from tracesieve.analysis.selection import select

        only = select(store, content, condition, from_us, to_us, now)
    sets, server = DatasetSets.of(settings), trace_server(settings)
    document = report(store, from_us, to_us, keys, now, content, sets, only=only, server=server)
    if only is not None:
        document["selected"] = {"searched": only.searched, "gone": only.gone}
    return {**document, "datasets": listed(store)}


def _show(document: dict[str, Any], as_json: bool, as_markdown: bool, html: str | None) -> None:
    if as_json:
        echo_json(document)
    elif as_markdown:
        from tracesieve.pages.report_markdown import markdown

        click.echo(markdown(document), nl=False)
    elif html is not None:
        from tracesieve.pages.report_page import report_page
        from tracesieve.pages.saved import saved

        saved(report_page(document), html)
    else:
        from tracesieve.analysis.report_text import lines

        for line in lines(document):
            click.echo(line)
