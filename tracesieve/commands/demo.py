"""``tracesieve demo``: the whole thing at work on a simulated support agent whose model endpoint starts to
fail.
"""

from __future__ import annotations

import click


@click.command("demo")
@click.option("--headless", is_flag=True, help="exit by itself once the alert fires and traces are tagged")
def command(headless: bool) -> None:
    """See the whole thing work on a simulated support agent; nothing outside a temporary folder is
    touched.
    """
    from tracesieve.demo.watch import watch

    if not watch(headless=headless) and headless:
        raise click.Abort  # stopped before it had found anything
