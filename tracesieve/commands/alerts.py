"""``tracesieve alerts``: what fires and what fired, with its evidence; a test alert; silences in
Alertmanager.
"""

from __future__ import annotations

import json
import time
from typing import Any

import click

from rules.units import SECOND_US, iso_time, parse_duration_us
from tracesieve.errors import OutsideError, TracesieveError

_CONFIG = click.option("-c", "config", default="tracesieve.yaml", show_default=True, help="the config file")
_EVIDENCE = 5
_TEST_RULE = "tracesieve-test"


@click.group("alerts")
def command() -> None:
    """List what is firing and what fired; send a test alert."""


@command.command("list")
@_CONFIG
@click.option("--json", "as_json", is_flag=True, help="one JSON document on stdout")
def list_(config: str, as_json: bool) -> None:
    """Every alert, the newest first, with what was measured and the traces behind it."""
    from store import open_store
    from tracesieve.config.settings import load_settings

    alerts = listed(open_store(load_settings(config).store_path, create=False))
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


def listed(store: Any) -> list[dict[str, Any]]:
    """The last notification of each episode, the newest episode first; times in µs."""
    rows = store.table("notifications").read().sort("notified_us", maintain_order=True)
    last = {row["episode"]: row for row in rows.iter_rows(named=True)}
    names = (
        "episode",
        "rule",
        "severity",
        "status",
        "reason",
        "starts_us",
        "value",
        "condition",
        "summary",
        "traces",
        "errors",
        "evidence",
        "paged",
    )
    found = []
    for row in last.values():
        group = dict(zip(row["by"], row["group"], strict=True))
        resolved = row["instant_us"] if row["status"] == "resolved" else None
        found.append({**{name: row[name] for name in names}, "group": group, "resolved_us": resolved})
    return sorted(found, key=lambda alert: (-alert["starts_us"], alert["rule"], alert["episode"]))


@command.command("test")
@_CONFIG
def test(config: str) -> None:
    """Send an alert named tracesieve-test to every Alertmanager of the config, and resolve it at once."""
    from sinks.alertmanager import Alertmanager
    from store.outbox import PendingMessage

    now = time.time_ns() // 1000
    payload = {
        "rule": _TEST_RULE,
        "severity": "info",
        "group": {},
        "starts_us": now - SECOND_US,
        "resolved_us": now,
        "value": None,
        "condition": "",
        "summary": "A test alert of tracesieve",
        "evidence": [],
        "episode": "test",
    }
    instances = _instances(config)
    sink = Alertmanager(instances)
    for status in ("firing", "resolved"):
        (outcome,) = sink.deliver([PendingMessage("alertmanager", "test", {**payload, "status": status})])
        if outcome.error is not None:
            raise OutsideError(str(outcome.error))
    click.echo(f"sent to {', '.join(one.url for one in instances)}")


@command.command("mute")
@_CONFIG
@click.argument("rule")
@click.option("--for", "how_long", default="1h", show_default=True, help="a duration: 30m, 4h, 1d")
def mute(config: str, rule: str, how_long: str) -> None:
    """Silence RULE in every Alertmanager of the config; its alerts are still counted and listed here."""
    import requests

    from sinks.alertmanager import TIMEOUT_S, access

    try:
        length_us = parse_duration_us(how_long)
    except ValueError as error:
        raise TracesieveError(f"--for {how_long}: write a duration such as 30m, 4h or 1d") from error
    now = time.time_ns() // 1000
    silence = {
        "matchers": [{"name": "alertname", "value": rule, "isRegex": False, "isEqual": True}],
        "startsAt": iso_time(now),
        "endsAt": iso_time(now + length_us),
        "createdBy": "tracesieve",
        "comment": f"tracesieve alerts mute {rule}",
    }
    for one in _instances(config):
        try:
            answer = requests.post(
                f"{one.url.rstrip('/')}/api/v2/silences", json=silence, timeout=TIMEOUT_S, **access(one)
            )
            answer.raise_for_status()
        except requests.RequestException as error:
            raise OutsideError(f"Alertmanager {one.url}: {type(error).__name__}") from error
        click.echo(f"{rule} is silent at {one.url} until {silence['endsAt']}")


def _instances(config: str) -> list[Any]:
    from tracesieve.config.settings import lacking, load_settings
    from tracesieve.errors import ConfigError

    settings = load_settings(config)
    found = settings.alerts.alertmanager
    if not found:
        raise TracesieveError("there is no Alertmanager in the config (alerts: {alertmanager: [URL]})")
    missing = [one for one in lacking(settings) if one.key.startswith("alerts.")]
    if missing:
        raise ConfigError(missing)
    return list(found)
