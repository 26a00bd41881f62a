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

from tracesieve.errors import AnswerIsNoError, OutsideError, TracesieveError
from tracesieve.json_output import echo_json
from tracesieve.terminal import plain, table, wrapped

if TYPE_CHECKING:
    from sinks.base import Probe
    from streams.sources.offer import InitOffer, InitOption, Survey

_SHOWN = 30
_CHECK_S = 5.0  # how long one Alertmanager may take to answer


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
@click.option(
    "--alertmanager", "alertmanagers", multiple=True, help="an Alertmanager to page; may be repeated"
)
@click.option("--force", is_flag=True, help="write over a file that is there")
@click.option("--json", "as_json", is_flag=True, help="one JSON document on stdout; asks nothing")
def command(
    config: str, alertmanagers: tuple[str, ...], force: bool, as_json: bool, **of_sources: Any
) -> None:
    """Look at where traces are, and write a config with every key explained.

    Where there is something to choose, a person is asked; off a terminal the usual choice is taken. An
    Alertmanager is asked whether it is there.
    """
    from streams.sources import init_offers

    file = Path(config)
    if file.exists() and not force:
        raise TracesieveError(
            f"{plain(config)} is there already: --force writes over it, -c names another file"
        )
    alerts = _alerts(alertmanagers)
    offer, place = _asked_for(init_offers(), of_sources)
    more = {option.flag: of_sources[_name(option)] for option in offer.more if of_sources[_name(option)]}
    survey = offer.survey(place, more, file.parent)
    if not as_json:
        _show(survey)
    draft = survey.draft(_pick(survey, as_json))
    chosen = {**draft.config, **alerts}
    _write(file, chosen)
    probes = _probed(alertmanagers)
    if as_json:
        ready = not draft.missing
        found = {"alertmanagers": [vars(one) for one in probes]} if probes else {}
        document = {"file": str(file), "config": chosen, **draft.details, **found, "ready": ready}
        echo_json(document)
    else:
        _show_next(config, ready=not draft.missing, probes=probes)
    if draft.missing:
        raise AnswerIsNoError(f"before `tracesieve run`: {draft.missing} in {plain(config)}")
    if failed := [f"--alertmanager {one.found} ({one.hint})" for one in probes if one.status == "fail"]:
        raise OutsideError("\n".join(failed))


def _alerts(alertmanagers: Sequence[str]) -> dict[str, Any]:
    """The part of the config that names the Alertmanagers; none where none was named."""
    if not alertmanagers:
        return {}
    from rules.address_key import web_address

    found = []
    for one in alertmanagers:
        try:
            found.append(web_address(one))
        except ValueError as error:
            raise TracesieveError(f"--alertmanager: {error}, not {one!r}") from error
    return {"alerts": {"alertmanager": found}}


def _probed(alertmanagers: Sequence[str]) -> list[Probe]:
    """Whether each Alertmanager is there, beside what the config says of it."""
    if not alertmanagers:
        return []
    from sinks.alertmanager import Alertmanager, AlertmanagerConfig

    instances = [AlertmanagerConfig(url=one) for one in alertmanagers]
    return list(Alertmanager.probe({key.path: instances for key in Alertmanager.config_keys}, _CHECK_S))


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


def _show_next(config: str, *, ready: bool, probes: Sequence[Probe]) -> None:
    for one in probes:
        click.echo(wrapped(f"{one.name}: {one.found}"))
    click.echo(wrapped(f"wrote {config}, with every key there is"))
    if ready:
        flag = "" if config == "tracesieve.yaml" else f" -c {plain(config)}"
        click.echo("next:")
        click.echo(f"  tracesieve doctor{flag}")
        click.echo(f"  tracesieve run --once --dry-run{flag}   # nothing leaves")
        click.echo(f"  tracesieve run{flag}")
