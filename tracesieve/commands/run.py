"""``tracesieve run``: watch traces until told to stop, or once."""

from __future__ import annotations

import json
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from tracesieve.errors import OutsideError

if TYPE_CHECKING:
    from tracesieve.run.parts import Run


@click.command("run")
@click.option("-c", "config", default="tracesieve.yaml", show_default=True, help="the config file")
@click.option("--once", is_flag=True, help="take all that ended up to now, say what was done, then exit")
@click.option("--dry-run", is_flag=True, help="count and match, but let no tag or alert leave")
@click.option(
    "--rebuild",
    is_flag=True,
    help="read the source again from its beginning, against the facts that are there",
)
@click.option(
    "--json", "as_json", is_flag=True, help="with --once: what was done as one JSON document on stdout"
)
def command(config: str, once: bool, dry_run: bool, rebuild: bool, as_json: bool) -> None:
    """Watch traces: count, tag, alert.

    Ctrl-C or SIGTERM ends it in order, within 30 seconds: the batch under way is finished, its tags and
    alerts are sent.
    """
    from tracesieve.cli import set_up_logging
    from tracesieve.config.settings import load_settings

    if as_json and not once:
        raise click.UsageError("--json goes with --once: a run that goes on is watched through /metrics")
    settings = load_settings(config)
    set_up_logging(settings.log.level, settings.log.format)
    stop = threading.Event()
    with ExitStack() as stack:
        from tracesieve.run.parts import open_run, wall_us
        from tracesieve.run.shutdown import listen

        listen(stop)
        run = open_run(settings, stack, dry_run=dry_run, rebuild=rebuild, now_us=wall_us(), stop=stop)
        if once:
            _once(run, as_json)
        else:
            from tracesieve.run.live import run_live

            run_live(run)


def _once(run: Run, as_json: bool) -> None:
    from tracesieve.run.once import run_once
    from tracesieve.run.parts import wall_us
    from tracesieve.run.summary import last_batch, summary, told
    from tracesieve.terminal import wrapped

    before, since = last_batch(run.store, run.config.stream_id), wall_us()
    waiting = run_once(run)
    document = summary(run.store, run.config.stream_id, before, since, waiting)
    click.echo(json.dumps(document) if as_json else wrapped(told(document)))
    if waiting and not run.stop.is_set():
        raise OutsideError(
            f"{waiting} deliveries still wait; they stay in the outbox (`tracesieve outbox list`)"
        )
