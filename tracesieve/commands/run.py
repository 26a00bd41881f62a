"""``tracesieve run``: watch traces until told to stop, or once."""

from __future__ import annotations

import signal
from contextlib import ExitStack

import click

from tracesieve.errors import OutsideError


@click.command("run")
@click.option("-c", "config", default="tracesieve.yaml", show_default=True, help="the config file")
@click.option("--once", is_flag=True, help="take all that ended up to now, then exit")
@click.option("--dry-run", is_flag=True, help="count and match, but let no tag or alert leave")
@click.option("--rebuild", is_flag=True, help="read the source again from its beginning, against the facts that are there")
def command(config: str, once: bool, dry_run: bool, rebuild: bool) -> None:
    """Watch traces: count, tag, alert."""
    from tracesieve.cli import set_up_logging
    from tracesieve.runner import open_run, run_live, run_once, wall_us
    from tracesieve.settings import load_settings

    settings = load_settings(config)
    set_up_logging(settings.log.level, settings.log.format)
    with ExitStack() as stack:
        run = open_run(settings, stack, dry_run=dry_run, rebuild=rebuild, now_us=wall_us())
        if once:
            waiting = run_once(run)
            if waiting:
                raise OutsideError(f"{waiting} deliveries still wait; they stay in the outbox (`tracesieve outbox list`)")
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: run.stop.set())
        run_live(run, stack)
