"""``tracesieve profile``: where the time, the tokens and the failures went; starts no Java."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import click

from rules.units import DAY_US
from tracesieve.errors import TracesieveError
from tracesieve.group_options import by_keys, group_values
from tracesieve.json_output import echo_json
from tracesieve.time_range import range_us

_RANGE = ("last", "start", "end", "groups", "rule", "where", "compare", "by")
_NAMES = {"start": "--from", "end": "--to", "groups": "--group"}


@click.command("profile")
@click.argument("trace_ids", nargs=-1, metavar="[TRACE_ID]...")
@click.option("-c", "config", default="tracesieve.yaml", show_default=True, help="the config file")
@click.option("--last", help="traces that ended within this long: 30m, 7d  [default: 24h]")
@click.option("--from", "start", help="instead of --last: traces that ended from this time on")
@click.option("--to", "end", help="traces that ended before this time, now if left out")
@click.option("--group", "groups", multiple=True, metavar="KEY=VALUE", help="only traces of this group")
@click.option("--rule", metavar="ID", help="only traces that this rule matches, or that are its evidence")
@click.option("--where", metavar="CONDITION", help="only traces that this condition of the rules matches")
@click.option(
    "--by", multiple=True, metavar="KEY[,KEY]", help="a line each for the groups of these keys of group_by"
)
@click.option(
    "--compare",
    metavar="WITH",
    help="what changed: `before` (the time as long just before), 7d (so much earlier), FROM..TO, or two "
    "versions: tags.release=1.4,1.5",
)
@click.option("--json", "as_json", is_flag=True, help="one JSON document on stdout")
@click.option("--html", metavar="FILE", help="a page of one file, a trace as a waterfall; - is stdout")
def command(trace_ids: tuple[str, ...], config: str, as_json: bool, html: str | None, **options: Any) -> None:
    """Where the time, the tokens and the failures went, by span type and name.

    Over a range of time, or of the traces TRACE_ID, each as a tree; the beginning of an id is enough.
    """
    from store import open_store
    from tracesieve.config.loading import load_settings

    wrong = [_NAMES.get(name, f"--{name}") for name in _RANGE if options[name]] if trace_ids else []
    if wrong:
        raise TracesieveError(f"{', '.join(wrong)}: not beside TRACE_ID")
    for one, other in (("--by", "--compare"), ("--json", "--html")):
        if all({**options, "json": as_json, "html": html}[name[2:]] for name in (one, other)):
            raise TracesieveError(f"{one}: not beside {other}")
    settings = load_settings(config)
    store = open_store(settings.store_path, create=False)
    shown = _traces(store, settings, trace_ids) if trace_ids else _range(store, settings, options)
    if as_json:
        echo_json(shown.document)
    elif html is not None:
        from tracesieve.pages.saved import saved

        saved(shown.page(), html)
    else:
        for line in shown.lines():
            click.echo(line)


@dataclass(frozen=True)
class _Shown:
    """A document, and how it becomes lines of a terminal or a page."""

    document: dict[str, Any]
    lines: Callable[[], Iterable[str]]
    page: Callable[[], str]


def _range(store: Any, settings: Any, options: dict[str, Any]) -> _Shown:
    from tracesieve.analysis.asked_for import Asked
    from tracesieve.config.trace_table import trace_table

    now = time.time_ns() // 1000
    from_us, to_us = range_us(options["last"], options["start"], options["end"], now)
    to_us = now if to_us is None else to_us
    from_us = to_us - DAY_US if from_us is None else from_us
    group = group_values(options["groups"], settings.group_by)
    by = by_keys(options["by"], settings.group_by)
    asked = Asked(group, options["rule"], options["where"], trace_table(settings))
    if options["compare"]:
        return _comparison(store, options["compare"], (from_us, to_us, now), asked)
    return _profile(store, (from_us, to_us, now), asked, by)


def _profile(store: Any, times: tuple[int, int, int], asked: Any, by: Sequence[str]) -> _Shown:
    from tracesieve.analysis import profile_lines as words
    from tracesieve.analysis.profile import profiled

    document = profiled(store, *times, asked, by)

    def page() -> str:
        from tracesieve.pages.profile_page import profile_page

        return profile_page(document, words.sentences(document))

    return _Shown(document, lambda: words.lines(document), page)


def _comparison(store: Any, with_: str, times: tuple[int, int, int], asked: Any) -> _Shown:
    from tracesieve.analysis.comparison import lines as words
    from tracesieve.analysis.comparison.document import compared
    from tracesieve.analysis.comparison.sides import parsed

    document = compared(store, parsed(with_, *times[:2]), *times, asked)

    def page() -> str:
        from tracesieve.pages.comparison_page import comparison_page

        return comparison_page(document, words.sentences(document), words.listed_cells(document))

    return _Shown(document, lambda: words.lines(document), page)


def _traces(store: Any, settings: Any, trace_ids: Sequence[str]) -> _Shown:
    from tracesieve.analysis import profile_lines as words
    from tracesieve.analysis.trace_profile import profile_traces
    from tracesieve.analysis.trace_tree import drawn, waterfall

    found = profile_traces(settings, store, trace_ids)

    def lines() -> Iterator[str]:
        for place, one in enumerate(found):
            if place:
                yield ""
            yield from words.trace_lines(one.document, drawn(one.spans))

    def page() -> str:
        from tracesieve.pages.profile_page import traces_page

        documents = [{**one.document, "waterfall": waterfall(one.spans)} for one in found]
        return traces_page(documents, [words.trace_head(one.document) for one in found])

    return _Shown({"traces": [one.document for one in found]}, lines, page)
