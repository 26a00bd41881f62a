"""``tracesieve apply``: the present rules on traces that are counted already."""

from __future__ import annotations

import time
from typing import Any

import click

from rules.errors import RuleFilesError
from tracesieve.errors import OutsideError, TracesieveError
from tracesieve.json_output import echo_json
from tracesieve.time_range import range_us


@click.command("apply")
@click.option("-c", "config", default="tracesieve.yaml", show_default=True, help="the config file")
@click.option("--rule", "rules", multiple=True, metavar="ID", help="only this rule; may be repeated")
@click.option("--last", help="only traces of this long: 30m, 24h, 7d; default: all that are kept")
@click.option("--from", "start", help="only traces that ended from this time on")
@click.option("--to", "end", help="only traces that ended before this time")
@click.option("--dry-run", is_flag=True, help="say by rule what would change, and write nothing")
@click.option("--json", "as_json", is_flag=True, help="one JSON document on stdout")
def command(
    config: str,
    rules: tuple[str, ...],
    last: str | None,
    start: str | None,
    end: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Apply the present rules to traces that are counted already: matches, windows, tags and records follow.

    Nobody is paged. A run that goes on does it when asked; without one it is done here. It may be ended at
    any point and repeated.
    """
    from tracesieve.config.loading import load_settings
    from tracesieve.log import set_up_logging
    from tracesieve.run.rule_files import RuleFiles

    settings = load_settings(config)
    level = "warning" if settings.log.level.lower() == "info" else settings.log.level
    set_up_logging(level, settings.log.format)
    loaded = RuleFiles.of(settings).load()
    if loaded.rule_set is None:
        raise RuleFilesError(loaded.errors)
    known = [rule.id for rule in loaded.rule_set.rules]
    if unknown := [one for one in rules if one not in known]:
        raise TracesieveError(f"--rule {unknown[0]}: there is no such rule (there are {', '.join(known)})")
    from_us, to_us = range_us(last, start, end, time.time_ns() // 1000)
    # After the options are known to be right: this loads Spark and the clients of the sinks.
    from tracesieve.run.apply import Asked
    from tracesieve.run.apply_command import apply_rules, preview

    asked = Asked(tuple(sorted(set(rules))), from_us, to_us, f"{last or ''}|{start or ''}|{end or ''}")
    work = preview if dry_run else apply_rules
    document = work(settings, loaded.rule_set, asked, lambda line: click.echo(line, err=True))
    echo_json(document) if as_json else show(document)
    if document["waiting"]:
        raise OutsideError(
            f"{document['waiting']} deliveries still wait; they stay in the outbox (`tracesieve outbox list`)"
        )


def show(document: dict[str, Any]) -> None:
    """A paragraph, and a table of the rules."""
    from tracesieve.run.apply import heading
    from tracesieve.terminal import table, wrapped

    click.echo(wrapped(heading(document)))
    names = ("before", "after", "gained", "lost")
    rows = [(one["rule"], *(f"{one[name]:,}" for name in names)) for one in document["rules"]]
    if rows:
        click.echo("\n" + "\n".join(table(("rule", *names), rows, numbers=range(1, 5))))
