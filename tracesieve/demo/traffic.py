"""The demo's traffic: the agent's last 25 minutes are logged to the MLflow server, then one request a second.

The last quarter of an hour is logged first: the incident and one window before it. So alerts fire early, with
the verdicts of that time; the quiet minutes before it change none of them when they come later.

MLflow's own tracing logs over HTTP in its batching mode. There is one sender, so that a trace's spans arrive
before its end.
"""

from __future__ import annotations

import os
import random
import sys
import time

from tracesieve.demo import EXPERIMENT
from tracesieve.demo.agent import Agent, Incident, plan
from tracesieve.demo.stage import answers, wait_until

HISTORY, HISTORY_S, INCIDENT_S = 300, 1500, 600
_FIRST_S = INCIDENT_S + 300
_LIVE_LAG_S = 15  # live requests are logged when they have ended
_SENDING = {
    "MLFLOW_ENABLE_ASYNC_TRACE_LOGGING": "true",
    "MLFLOW_ASYNC_TRACE_LOGGING_MAX_WORKERS": "1",
    "MLFLOW_ASYNC_TRACE_LOGGING_MAX_SPAN_BATCH_SIZE": "100",
    "MLFLOW_ASYNC_TRACE_LOGGING_MAX_INTERVAL_MILLIS": "300",
}


def main() -> None:
    """``traffic URI``: until it is ended from outside."""
    agent, incident, _ = log_past(sys.argv[1])
    log_live(agent, incident)


def log_past(uri: str) -> tuple[Agent, Incident, int]:
    """Log the agent's last 25 minutes to the server's experiment ``support-agent``: the agent, its incident,
    and how many traces these are. MLflow sends them in the background.

    Raises:
        OutsideError: the server did not answer in time.
    """
    os.environ.update(_SENDING)
    import mlflow

    wait_until(lambda: answers(f"{uri.rstrip('/')}/health"))
    mlflow.set_tracking_uri(uri)
    agent = Agent(mlflow.set_experiment(EXPERIMENT).experiment_id)
    now = time.time()
    incident = Incident(now - INCIDENT_S, now + 900)
    return agent, incident, _history(agent, incident, now)


def wait_until_sent() -> None:
    """Wait for all that MLflow still has to send."""
    import mlflow

    mlflow.flush_trace_async_logging()


def log_live(agent: Agent, incident: Incident) -> None:
    """Log a request a second until it is ended from outside."""
    rng = random.Random(11)  # noqa: S311 - a story, not a secret
    while True:
        agent.log(plan(rng, time.time() - _LIVE_LAG_S, incident))
        time.sleep(1.0)


def _history(agent: Agent, incident: Incident, now_s: float) -> int:
    rng = random.Random(7)  # noqa: S311 - a story, not a secret
    calls = [plan(rng, now_s - HISTORY_S + i * HISTORY_S / HISTORY, incident) for i in range(HISTORY)]
    past = [call for call in calls if call.at_s + call.duration_s < now_s]
    for call in sorted(past, key=lambda call: (call.at_s < now_s - _FIRST_S, call.at_s)):
        agent.log(call)
    return len(past)


if __name__ == "__main__":
    main()
