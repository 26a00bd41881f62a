"""Exactly-once in effect: tags on MLflow traces; writing them again changes nothing.

``eval_candidate`` belongs to people too: one that differs from what ``tracesieve.category`` says we delivered was set by
a person and is never overwritten (SEMANTICS 22).  The order of writes keeps that true at every instant of a crash: a
changed category takes ``eval_candidate`` away first, then moves ``tracesieve.category``, then sets it anew.
"""

from __future__ import annotations

import json
from typing import Any

from sinks.errors import Refused, RetryLater
from store.outbox import Pending

CANDIDATE, RULES, CATEGORY = "eval_candidate", "tracesieve.rules", "tracesieve.category"


class MlflowTags:
    """Sets and removes the three tags; payload ``{trace_id, category | null, rules: [ids]}``."""

    name = "mlflow_tags"

    def __init__(self, tracking_uri: str) -> None:
        from mlflow import MlflowClient

        self._client = MlflowClient(tracking_uri)

    def deliver(self, wish: Pending) -> str:
        """Make the trace's tags what the wish says; the tags that were there before."""
        from mlflow.exceptions import MlflowException

        trace_id = str(wish.payload["trace_id"])
        try:
            before = dict(self._client.get_trace(trace_id, display=False).info.tags)
            for change, key, value in changes(before, wish.payload):
                if change == "set":
                    self._client.set_trace_tag(trace_id, key, value)
                else:
                    self._client.delete_trace_tag(trace_id, key)
        except MlflowException as error:
            raise sorted_out(error) from error
        return json.dumps({key: before[key] for key in (CANDIDATE, RULES, CATEGORY) if key in before})


def changes(before: dict[str, str], payload: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The writes, in order, that bring tags from ``before`` to what the payload wishes; none if they are so already."""
    category, rules = payload.get("category"), ",".join(sorted(payload.get("rules", [])))
    ours, present = before.get(CATEGORY), before.get(CANDIDATE)
    persons = present is not None and present not in (ours, category)
    steps: list[tuple[str, str, str]] = []
    if not persons and present is not None and present != category:
        steps.append(("delete", CANDIDATE, ""))
    if not persons and category and ours != category:
        steps.append(("set", CATEGORY, category))
    if not persons and category and present != category:
        steps.append(("set", CANDIDATE, category))
    if rules and before.get(RULES) != rules:
        steps.append(("set", RULES, rules))
    if not rules and RULES in before:
        steps.append(("delete", RULES, ""))
    if ours is not None and (persons or not category):
        steps.append(("delete", CATEGORY, ""))
    return steps


def sorted_out(error: Exception) -> RetryLater | Refused:
    """Whether MLflow's error is for good: a missing trace or a refused request is, anything else is not."""
    code = str(getattr(error, "error_code", ""))
    permanent = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND", "PERMISSION_DENIED", "BAD_REQUEST")
    if code in permanent:
        return Refused(f"MLflow says {code}")
    return RetryLater(f"MLflow cannot be reached or failed ({code or type(error).__name__})")
