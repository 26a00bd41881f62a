"""``tracesieve demo``: the whole thing at work on a simulated support agent whose model endpoint starts to
fail.
"""

from __future__ import annotations

from contextlib import suppress

import click

from tracesieve.terminal import plain


@click.command("demo")
@click.option("--headless", is_flag=True, help="exit by itself once the alert fires and traces are tagged")
@click.option(
    "--traffic",
    metavar="URI",
    help="only log the agent's traces to this MLflow server: 25 minutes of them, then one a second",
)
def command(headless: bool, traffic: str | None) -> None:
    """See the whole thing work on a simulated support agent; nothing outside a temporary folder is
    touched.

    With --traffic an MLflow server of your own gets the traces, in the experiment support-agent, and nothing
    else is started; with --headless as well it is left alone once it has the 25 minutes.
    """
    if traffic is not None:
        _send(traffic, live=not headless)
        return
    from tracesieve.demo.watch import watch

    if not watch(headless=headless) and headless:
        raise click.Abort  # stopped before it had found anything


def _send(uri: str, *, live: bool) -> None:
    """Log traces to a server of the user's; Ctrl-C is how it ends."""
    from tracesieve.demo import EXPERIMENT
    from tracesieve.demo.traffic import log_live, log_past, wait_until_sent

    if not uri.startswith(("http://", "https://")):
        raise click.UsageError(f"--traffic {plain(uri)}: write it as http://127.0.0.1:5000")
    with suppress(KeyboardInterrupt):
        agent, incident, number = log_past(uri)
        wait_until_sent()
        click.echo(
            f"logged {number} traces of the last 25 minutes to the experiment {EXPERIMENT} of {plain(uri)}"
        )
        if live:
            click.echo("one more a second until Ctrl-C")
            log_live(agent, incident)
    wait_until_sent()
