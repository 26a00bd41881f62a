"""``tracesieve init``: look at where traces are, and write a config with every key explained.

Its options are those of the kinds of source there are.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tracesieve.errors import AnswerIsNoError, TracesieveError
from tracesieve.json_output import echo_json
from tracesieve.terminal import plain, table

if TYPE_CHECKING:
    from streams.sources.base import InitOffer, InitOption, Survey

_SHOWN = 30


class _WithSourceOptions(click.Command):
    """A command that also takes the options of every kind of source."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Our own options, after those of the sources."""
        from streams.sources import init_offers

        options = [option for offer in init_offers() for option in (offer.place, *offer.more)]
        return [*map(_as_click, options), *super().get_params(ctx)]


def _as_click(option: InitOption) -> click.Option:
    default = f"  [default: {option.variable}]" if option.variable else ""
    return click.Option(
        [option.flag, _name(option)], multiple=option.many, help=f"{option.help}{default}", expose_value=True
    )


def _name(option: InitOption) -> str:
    """The parameter under which click hands over an option's value."""
    return "source_" + option.flag.lstrip("-").replace("-", "_")


@click.command("init", cls=_WithSourceOptions)
@click.option("-c", "config", default="tracesieve.yaml", show_default=True, help="the config file to write")
@click.option("--force", is_flag=True, help="write over a file that is there")
@click.option("--json", "as_json", is_flag=True, help="one JSON document on stdout; asks nothing")
def command(config: str, force: bool, as_json: bool, **of_sources: Any) -> None:
    """Look at where traces are, and write a config with every key explained.

    Where there is something to choose, a person is asked; off a terminal the usual choice is taken.
    """
    from streams.sources import init_offers

    file = Path(config)
    if file.exists() and not force:
        raise TracesieveError(
            f"{plain(config)} is there already: --force writes over it, -c names another file"
        )
    offer, place = _asked_for(init_offers(), of_sources)
    more = {option.flag: of_sources[_name(option)] for option in offer.more if of_sources[_name(option)]}
    survey = offer.survey(place, more, file.parent)
    if not as_json:
        _show(survey)
    draft = survey.draft(_pick(survey, as_json))
    _write(file, draft.config)
    if as_json:
        ready = not draft.missing
        echo_json({"file": str(file), "config": draft.config, **draft.details, "ready": ready})
    else:
        _show_next(config, ready=not draft.missing)
    if draft.missing:
        raise AnswerIsNoError(f"before `tracesieve run`: {draft.missing} in {plain(config)}")


def _asked_for(offers: Sequence[InitOffer], values: Mapping[str, Any]) -> tuple[InitOffer, str]:
    """The kind of source that the options name, and the place."""
    named = [offer for offer in offers if any(values[_name(one)] for one in (offer.place, *offer.more))]
    if len(named) > 1:
        either = " or ".join(", ".join(one.flag for one in (offer.place, *offer.more)) for offer in named)
        raise click.UsageError(f"{either}: name one kind of source")
    for offer in named or offers:
        place = values[_name(offer.place)] or os.environ.get(offer.place.variable or "")
        if place:
            return offer, str(place)
    ways = [
        f"{offer.noun} ({offer.place.flag}{f', or {offer.place.variable}' if offer.place.variable else ''})"
        for offer in named or offers
    ]
    raise click.UsageError(f"name {' or '.join(ways)}")


def _show(survey: Survey) -> None:
    """What was found, numbered where a person is to pick."""
    rows: Sequence[tuple[object, ...]] = survey.rows
    headings, numeric = survey.headings, survey.numeric
    if survey.usual:
        rows = [(number, *row) for number, row in enumerate(rows, 1)]
        headings, numeric = ("", *headings), (0, *(column + 1 for column in numeric))
    click.echo(plain(survey.title))
    click.echo("\n".join(table(headings, rows[:_SHOWN], numbers=numeric)))
    if len(rows) > _SHOWN:
        click.echo(f"and {len(rows) - _SHOWN} more")


def _pick(survey: Survey, as_json: bool) -> Sequence[int]:
    """The rows that a person picks; the usual ones where there is nothing to pick or nobody to ask."""
    at_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    if not survey.asks or as_json or not at_terminal:
        return survey.usual
    usual, most = ",".join(str(row + 1) for row in survey.usual), len(survey.rows)
    while True:
        answer = click.prompt("which? numbers, commas between them", default=usual)
        parts = [part for part in str(answer).replace(" ", ",").split(",") if part]
        picked = [int(part) for part in parts if part.isdecimal()]
        if picked and len(picked) == len(parts) and all(1 <= number <= most for number in picked):
            return [number - 1 for number in dict.fromkeys(picked)]
        click.echo(f"write numbers from 1 to {most}, such as 1,3")


def _write(file: Path, chosen: Mapping[str, Any]) -> None:
    from tracesieve.config.template import rendered

    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        fresh.write_text(rendered(chosen), encoding="utf-8")
        fresh.replace(file)
    except OSError as error:
        raise TracesieveError(f"{plain(file)} cannot be written: {error.strerror}") from error


def _show_next(config: str, *, ready: bool) -> None:
    click.echo(f"\nwrote {plain(config)}, with every key there is")
    if ready:
        flag = "" if config == "tracesieve.yaml" else f" -c {plain(config)}"
        click.echo(
            f"next: `tracesieve run --once --dry-run{flag}` (nothing leaves), then `tracesieve run{flag}`"
        )
