"""``tracesieve run``: watch traces until a signal comes, or take them once."""

from __future__ import annotations

import click

from tracesieve.errors import OutsideError
from tracesieve.json_output import echo_json
from tracesieve.log import set_up_logging


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
    from tracesieve.config.loading import load_settings

    if as_json and not once:
        raise click.UsageError("--json goes with --once: a run that goes on is watched through /metrics")
    settings = load_settings(config)
    set_up_logging(settings.log.level, settings.log.format)
    # After the config is known to be right: this loads Spark and the clients of the sinks.
    from tracesieve.run.entry import take_once, watch

    if not once:
        watch(settings, dry_run=dry_run, rebuild=rebuild)
        return
    document, cut_short = take_once(settings, dry_run=dry_run, rebuild=rebuild)
    _echo(document, as_json)
    if document["waiting"] and not cut_short:
        raise OutsideError(
            f"{document['waiting']} deliveries still wait; they stay in the outbox (`tracesieve outbox list`)"
        )


def _echo(document: dict[str, object], as_json: bool) -> None:
    from tracesieve.run.summary import render

    echo_json(document) if as_json else click.echo(render(document))
