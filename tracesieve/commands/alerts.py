"""``tracesieve alerts``: what fires and what fired, with its evidence; a test alert; muting a rule."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import click

from rules.units import iso_time, parse_duration_us
from tracesieve.errors import ConfigError, OutsideError, TracesieveError

if TYPE_CHECKING:
    from sinks.base import Sink

_CONFIG = click.option("-c", "config", default="tracesieve.yaml", show_default=True, help="the config file")
_EVIDENCE = 5


@click.group("alerts")
def command() -> None:
    """List what is firing and what fired; send a test alert; mute a rule."""


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
        click.echo(json.dumps({"alerts": alerts}))
        return
    for alert in alerts:
        _show(alert)
    click.echo(f"{sum(a['status'] == 'firing' for a in alerts)} firing, {len(alerts)} in all")


def _show(alert: dict[str, Any]) -> None:
    from tracesieve.terminal import fitted, wrapped

    group = "/".join(alert["group"].values())
    head = (
        f"{alert['status'].upper():8}  {iso_time(alert['starts_us'])}  {alert['rule']} "
        f"({alert['severity']})  {group}"
    )
    click.echo(fitted(head))
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
    failed = []
    for sink in _receivers(config):
        error = _send_test(sink)
        if error is None:
            click.echo(f"sent to {', '.join(sink.destinations)}")
        else:
            failed.append(f"{sink.name}: {error}")
    if failed:
        raise OutsideError("\n".join(failed))


def _send_test(sink: Sink) -> Exception | None:
    """Deliver a sink's test messages one after the other; the first error."""
    from sinks.errors import RetryLater

    for message in sink.test_messages(time.time_ns() // 1000):
        try:
            outcomes = sink.deliver([message])
        except RetryLater as error:
            return error
        if failure := next((one.error for one in outcomes if one.error is not None), None):
            return failure
    return None


@command.command("mute")
@_CONFIG
@click.argument("rule")
@click.option("--for", "how_long", default="1h", show_default=True, help="a duration: 30m, 4h, 1d")
def mute(config: str, rule: str, how_long: str) -> None:
    """Page nobody for RULE for a while, where the receivers of the config can do that, as an Alertmanager
    can; its alerts are still counted, sent and listed here.
    """
    try:
        length_us = parse_duration_us(how_long)
    except ValueError as error:
        raise TracesieveError(f"--for {how_long}: write a duration such as 30m, 4h or 1d") from error
    muting = [sink for sink in _receivers(config) if sink.mutes]
    if not muting:
        raise TracesieveError("no receiver of alerts in the config can mute a rule")
    now = time.time_ns() // 1000
    for sink in muting:
        for place in sink.mute(rule, now, now + length_us):
            click.echo(f"{rule} is muted at {place} until {iso_time(now + length_us)}")


def _receivers(config: str) -> list[Sink]:
    """The sinks of the config that send alerts out of this machine.

    Raises:
        ConfigError: a secret or a certificate of the config is missing.
        TracesieveError: there is none.
    """
    from sinks import registry
    from sinks.base import ALERT_KINDS
    from store import Store
    from tracesieve.config.loading import load_settings, missing
    from tracesieve.config.sink_context import sink_context

    settings = load_settings(config)
    if problems := [one for one in missing(settings) if one.path[:1] == ("alerts",)]:
        raise ConfigError(problems)
    context = sink_context(settings, Store(settings.store_path))  # not opened: a receiver reads no store
    wanted = [sink for sink in registry.wanted(settings.sinks, *ALERT_KINDS) if sink.outside]
    opened = [one for sink in wanted if (one := sink.open(context)) is not None]
    if not opened:
        keys = [
            key.path
            for sink in registry.SINKS.values()
            if sink.consumes in ALERT_KINDS
            for key in sink.config_keys
        ]
        raise TracesieveError(f"there is no receiver of alerts in the config (such as {', '.join(keys)})")
    return opened
