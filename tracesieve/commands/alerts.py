"""``tracesieve alerts``: what fires and what fired, with its evidence; a test alert; muting a rule."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from rules.units import iso_time, parse_duration_us
from tracesieve.errors import TracesieveError
from tracesieve.json_output import echo_json, iso
from tracesieve.terminal import group_names, plain, wrapped

if TYPE_CHECKING:
    from sinks.shown import Mute

_CONFIG = click.option("-c", "config", default="tracesieve.yaml", show_default=True, help="the config file")
_EVIDENCE = 5


@click.group("alerts")
def command() -> None:
    """List what is firing and what fired; send a test alert; mute a rule, and end that."""


@command.command("list")
@_CONFIG
@click.option("--json", "as_json", is_flag=True, help="one JSON document on stdout")
def list_(config: str, as_json: bool) -> None:
    """Every alert, the newest first, with what was measured and the traces behind it."""
    from store import open_store
    from tracesieve.alerts.listing import list_alerts
    from tracesieve.config.loading import load_settings

    alerts = list_alerts(open_store(load_settings(config).store_path, create=False))
    if as_json:
        echo_json({"alerts": alerts})
        return
    for alert, group in zip(alerts, group_names([alert["group"] for alert in alerts]), strict=True):
        _show(alert, group)
    click.echo(f"{sum(a['status'] == 'firing' for a in alerts)} firing, {len(alerts)} in all")


def _show(alert: dict[str, Any], group: str) -> None:
    head = (
        f"{alert['status'].upper():8}  {iso_time(alert['starts_us'])}  {alert['rule']} "
        f"({alert['severity']})  {group}"
    )
    click.echo(wrapped(head, hang=10))
    click.echo(wrapped(alert["summary"], "          "))
    if alert["evidence"]:
        more = len(alert["evidence"]) - _EVIDENCE
        shown = ", ".join(alert["evidence"][:_EVIDENCE]) + (f" and {more} more" if more > 0 else "")
        click.echo(wrapped(f"evidence: {shown}", "          "))


@command.command("test")
@_CONFIG
def test(config: str) -> None:
    """Send an alert named tracesieve-test to every receiver of alerts in the config; it ends within five
    minutes.
    """
    from tracesieve.alerts.receivers import send_test_alert
    from tracesieve.config.loading import load_settings

    for place in send_test_alert(load_settings(config), time.time_ns() // 1000):
        click.echo(f"sent to {place}")


_GROUP = click.option(
    "--group", "group", multiple=True, metavar="KEY=VALUE", help="only that group of it; may be repeated"
)


@command.command("mute")
@_CONFIG
@click.argument("rule")
@_GROUP
@click.option("--for", "how_long", default="1h", show_default=True, help="a duration: 30m, 4h, 1d")
def mute(config: str, rule: str, group: tuple[str, ...], how_long: str) -> None:
    """Page nobody for RULE for a while, at the receivers of the config that can do that, as an Alertmanager
    can; its alerts are still counted, sent and listed here.
    """
    from tracesieve.alerts.mutes import group_of, mute, named
    from tracesieve.config.loading import load_settings

    try:
        length_us = parse_duration_us(how_long)
    except ValueError as error:
        raise TracesieveError(f"--for {how_long}: write a duration such as 30m, 4h or 1d") from error
    now_us = time.time_ns() // 1000
    until_us, only = now_us + length_us, group_of(group)
    for place in mute(load_settings(config), rule, only, now_us, until_us):
        click.echo(plain(f"{named(rule, only)} is muted at {place} until {iso_time(until_us)}"))


@command.command("unmute")
@_CONFIG
@click.argument("rule")
@_GROUP
def unmute(config: str, rule: str, group: tuple[str, ...]) -> None:
    """End the mutes of RULE that `alerts mute` made; a silence that somebody made by hand stays."""
    from tracesieve.alerts.mutes import group_of, named, unmute
    from tracesieve.config.loading import load_settings

    for one in unmute(load_settings(config), rule, group_of(group)):
        click.echo(plain(f"{named(rule, one.group)} pages again at {one.place}"))


@command.command("mutes")
@_CONFIG
@click.option("--json", "as_json", is_flag=True, help="one JSON document on stdout")
def mutes(config: str, as_json: bool) -> None:
    """Which rules page nobody now, until when, and who muted them."""
    from tracesieve.alerts.mutes import muted
    from tracesieve.config.loading import load_settings

    found = muted(load_settings(config))
    if as_json:
        echo_json({"mutes": [_as_json(one) for one in found]})
        return
    for one in found:
        head = " ".join([one.rule, *(f"{key}={value}" for key, value in one.group.items())])
        click.echo(wrapped(f"{head} until {iso_time(one.until_us)}", hang=2))
        begins = f" from {iso_time(one.from_us)}" if one.from_us > time.time_ns() // 1000 else ""
        click.echo(wrapped(f"at {one.place}{begins}, by {one.by}: {one.comment}", "    "))
    click.echo(f"{len(found)} mutes")


def _as_json(mute: Mute) -> dict[str, Any]:
    return {
        "rule": mute.rule,
        "group": dict(mute.group),
        "starts": iso(mute.from_us),
        "ends": iso(mute.until_us),
        "by": mute.by,
        "comment": mute.comment,
        "place": mute.place,
    }
