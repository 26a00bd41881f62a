"""``tracesieve doctor``: looks at everything that a run needs and says what is wrong and how to mend it;
changes nothing.
"""

from __future__ import annotations

import sys
import textwrap
import time
from typing import Any

import click

from rules.units import utc
from tracesieve.json_output import echo_json
from tracesieve.terminal import columns, plain, table

_CONFIG = click.option("-c", "config", default="tracesieve.yaml", show_default=True, help="the config file")
_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}
_NAME = 14


@click.command("doctor")
@_CONFIG
@click.option("--json", "as_json", is_flag=True, help="one JSON document on stdout")
def command(config: str, as_json: bool) -> None:
    """Check config, machine, servers, rules and store; exit 1 if anything fails."""
    from tracesieve.config.loading import load_settings
    from tracesieve.doctor import examine, worst

    checks = examine(load_settings(config), time.time_ns() // 1000)
    if as_json:
        echo_json({"status": worst(checks), "checks": [check.as_json() for check in checks]})
    else:
        for check in checks:
            _show(check)
        fails, warns = (sum(check.status == status for check in checks) for status in ("fail", "warn"))
        click.echo(f"{fails} failed, {warns} warnings, {len(checks)} checks")
    sys.exit(1 if worst(checks) == "fail" else 0)


def _show(check: Any) -> None:
    indent = " " * (6 + _NAME)
    body = textwrap.wrap(plain(check.found), columns() - len(indent), break_on_hyphens=False) or [""]
    if check.hint:
        body += textwrap.wrap(f"→ {plain(check.hint)}", columns() - len(indent), break_on_hyphens=False)
    label = (
        click.style(f"{check.status:4}", fg=_COLOURS[check.status])
        if sys.stdout.isatty()
        else f"{check.status:4}"
    )
    click.echo(f"{label}  {check.name:{_NAME}}{body[0]}")
    for line in body[1:]:
        click.echo(indent + line)
    if check.details.get("tables"):
        click.echo("")
        for line in _tables(check.details["tables"]):
            click.echo(f"  {line}")
        click.echo("")


def _tables(tables: list[dict[str, Any]]) -> list[str]:
    rows = [
        (
            one["table"],
            f"{one['rows']:,}",
            f"{one['bytes'] / 1e6:,.1f}",
            one["files"],
            one["version"],
            _day(one["oldest_us"]),
            _day(one["newest_us"]),
            "for ever" if one["kept_days"] is None else f"{one['kept_days']:g}d",
        )
        for one in tables
    ]
    return table(
        ("table", "rows", "MB", "files", "version", "from", "to", "kept"), rows, numbers=(1, 2, 3, 4)
    )


def _day(time_us: int | None) -> str:
    return "-" if time_us is None else utc(time_us).date().isoformat()
