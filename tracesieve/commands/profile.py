"""``tracesieve profile``: where the time, the tokens and the failures went; starts no Java."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import click

from rules.units import DAY_US
from tracesieve.errors import TracesieveError
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
@click.option("--by", metavar="KEY[,KEY]", help="a line each for the groups of these keys of group_by")
@click.option(
    "--compare",
    metavar="WITH",
    help="what changed: `before` (the time as long just before), 7d (so much earlier), FROM..TO, or two "
    "versions: tags.release=1.4,1.5",
)
@click.option("--json", "as_json", is_flag=True, help="one JSON document on stdout")
def command(trace_ids: tuple[str, ...], config: str, as_json: bool, **options: Any) -> None:
    """Where the time, the tokens and the failures went, by span type and name.

    Over a range of time, or of the traces TRACE_ID, each as a tree; the beginning of an id is enough.
    """
    from store import open_store
    from tracesieve.config.loading import load_settings

    wrong = [_NAMES.get(name, f"--{name}") for name in _RANGE if options[name]] if trace_ids else []
    if wrong:
        raise TracesieveError(f"{', '.join(wrong)}: not beside TRACE_ID")
    if options["by"] and options["compare"]:
        raise TracesieveError("--by: not beside --compare")
    settings = load_settings(config)
    store = open_store(settings.store_path, create=False)
    if trace_ids:
        _traces(store, settings, trace_ids, as_json)
    else:
        _range(store, settings, options, as_json)


def _range(store: Any, settings: Any, options: dict[str, Any], as_json: bool) -> None:
    from tracesieve.analysis import profile_lines
    from tracesieve.analysis.asked_for import Asked
    from tracesieve.analysis.profile import profiled
    from tracesieve.config.trace_table import trace_table

    now = time.time_ns() // 1000
    from_us, to_us = range_us(options["last"], options["start"], options["end"], now)
    to_us = now if to_us is None else to_us
    from_us = to_us - DAY_US if from_us is None else from_us
    group = _group(options["groups"], settings.group_by)
    by = _keys(options["by"], settings.group_by)
    asked = Asked(group, options["rule"], options["where"], trace_table(settings))
    if options["compare"]:
        from tracesieve.analysis.comparison import document, lines, sides

        with_ = sides.parsed(options["compare"], from_us, to_us)
        found = document.compared(store, with_, from_us, to_us, now, asked)
        shown = lines.lines(found)
    else:
        found = profiled(store, from_us, to_us, now, asked, by)
        shown = profile_lines.lines(found)
    if as_json:
        echo_json(found)
        return
    for line in shown:
        click.echo(line)


def _keys(text: str | None, known: Sequence[str]) -> list[str]:
    keys = list(dict.fromkeys(part.strip() for part in text.split(","))) if text else []
    if wrong := [key for key in keys if key not in known]:
        raise TracesieveError(f"--by {','.join(wrong)}: use keys of group_by ({', '.join(known)})")
    return keys


def _group(groups: Sequence[str], known: Sequence[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in groups]
    wrong = [
        text for text, (key, equals, _) in zip(groups, pairs, strict=True) if not equals or key not in known
    ]
    if wrong:
        keys = ", ".join(known)
        raise TracesieveError(
            "\n".join(f"--group {text}: write KEY=VALUE, with a key of group_by ({keys})" for text in wrong)
        )
    return {key: value for key, _, value in pairs}


def _traces(store: Any, settings: Any, trace_ids: Sequence[str], as_json: bool) -> None:
    from tracesieve.analysis.profile_lines import trace_lines
    from tracesieve.analysis.trace_profile import profile_traces
    from tracesieve.analysis.trace_tree import drawn

    found = profile_traces(settings, store, trace_ids)
    if as_json:
        echo_json({"traces": [one.document for one in found]})
        return
    for place, one in enumerate(found):
        if place:
            click.echo()
        for line in trace_lines(one.document, drawn(one.spans)):
            click.echo(line)
