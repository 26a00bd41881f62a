"""How long this process waits for an outside system: the one place that says so, for every client there is.

MLflow's client reads its timeouts and retries from the environment, at every call; its own defaults are eight
tries of two minutes each.  So they belong to the process and are set once, before any client is made,
whatever the command and whichever sinks and sources it opens.  What the user has set in the environment
stands.  (Calls over plain HTTP have :data:`sinks.http.client.TIMEOUT_S` each, and are not repeated.)
"""

from __future__ import annotations

import os
from typing import NamedTuple


class Patience(NamedTuple):
    """For one call: so many seconds without an answer, and so many tries."""

    timeout_s: int
    tries: int

    @property
    def most_s(self) -> int:
        """How long a call takes at a server that hangs."""
        return self.timeout_s * self.tries


USUAL = Patience(30, 2)  # landing and deliveries are repeated anyway: learn soon that a server is down
_OF_COMMAND = {
    "doctor": Patience(5, 1),  # a server that is slow is an answer, too
    "init": Patience(10, 1),  # somebody waits at a terminal
}


def of_command(command: str | None) -> Patience:
    """How patient a command is."""
    return _OF_COMMAND.get(command or "", USUAL)


def bound_clients(patience: Patience = USUAL) -> None:
    """Give every MLflow client of this process that patience, but for what the environment says already."""
    wanted = {
        "MLFLOW_HTTP_REQUEST_TIMEOUT": patience.timeout_s,
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": patience.tries - 1,
        "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": 1,
        # A proxy that asks for an hour's wait would be granted it, inside the call.
        "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
        # Of Databricks' own client, which repeats by itself.
        "MLFLOW_DATABRICKS_ENDPOINT_HTTP_RETRY_TIMEOUT": patience.most_s,
    }
    for name, value in wanted.items():
        os.environ.setdefault(name, str(value))
