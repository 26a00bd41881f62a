"""Exactly-once in effect: tags on MLflow traces; writing them again changes nothing.

``eval_candidate`` belongs to people too: one that differs from what ``tracesieve.category`` says we delivered
was set by a person and is never overwritten (SEMANTICS 22).  The order of writes keeps that true at every
instant of a crash: a changed category takes ``eval_candidate`` away first, then moves
``tracesieve.category``, then sets it anew.

That tag holds one category.  A trace that matches rules of several is found by
``tracesieve.category.<name>``, a tag for each of them with the ids of its rules.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

from sinks.base import MessageKind, Outcome, Payload, Probe, Sink, SinkConfig, SinkContext
from sinks.delivery import each
from sinks.errors import RetryLater
from sinks.mlflow.config import SERVER
from sinks.mlflow.server import NO_SUCH_CALL, classify_error, client, probe
from sinks.shown import Holding
from store import Store
from store.outbox import PendingMessage

CANDIDATE, RULES, CATEGORY = "eval_candidate", "tracesieve.rules", "tracesieve.category"
OF_CATEGORY = f"{CATEGORY}."  # and the name of the category
WORKERS = 4  # beside one another: more only queue up at a server that writes to one database
MOST_CHARACTERS = 4096  # of a tag's value: the server cuts off the rest, in the middle of an id
_INFOS = 100  # traces in one listing call


class MlflowTags(Sink):
    """Sets and removes the tags of a trace."""

    name = "mlflow_tags"
    consumes = MessageKind.TAGS
    config_keys = (SERVER,)
    withdraws = True

    def __init__(self, tracking_uri: str) -> None:
        self._client = client(tracking_uri)
        self._store = self._client._tracing_client.store
        self._batched = True

    @classmethod
    def names(cls, config: SinkConfig) -> Sequence[str]:
        """One where the config names a server, unless it says ``tags: false``."""
        server = config.get(SERVER.path)
        return [cls.name] if server is not None and server.tags else []

    @classmethod
    def open(cls, context: SinkContext, name: str) -> Self | None:
        """The server of the config."""
        server = context.config.get(SERVER.path)
        return cls(server.tracking_uri) if server is not None else None

    @classmethod
    def probe(cls, config: SinkConfig, timeout_s: float) -> Iterable[Probe]:
        """The server, which is that of datasets too."""
        server = config.get(SERVER.path)
        if server is None:
            return [Probe("mlflow", "ok", "no `mlflow:` in the config: traces are not tagged")]
        return [probe(server.tracking_uri)]

    @classmethod
    def withdrawal(cls, target: str) -> Payload:
        """No category and no rules."""
        return {"trace_id": target, "category": None, "rules": []}

    @classmethod
    def is_withdrawal(cls, payload: Payload) -> bool:
        """Whether it leaves no tag."""
        return not payload.get("category") and not payload.get("rules")

    @classmethod
    def holdings(cls, store: Store, delivered: Mapping[str, Payload]) -> Iterator[Holding]:
        """The tags, each for itself."""
        for payload in delivered.values():
            for change, key, value in changes({}, payload):
                if change == "set":
                    yield Holding("tag", str(payload["trace_id"]), key, value)

    def deliver(self, messages: Sequence[PendingMessage]) -> list[Outcome]:
        """Make each trace's tags what its message says; the result is the tags that were there before.

        Raises:
            RetryLater: MLflow cannot be reached.
        """
        present = self._present([str(message.payload["trace_id"]) for message in messages])
        return each(messages, lambda message: self._one(message, present), workers=WORKERS)

    def _present(self, trace_ids: Sequence[str]) -> dict[str, dict[str, str]]:
        """The tags of those traces that the server has, without their spans; empty where it has no such
        call.
        """
        from mlflow.exceptions import MlflowException

        found: dict[str, dict[str, str]] = {}
        for start in range(0, len(trace_ids) if self._batched else 0, _INFOS):
            try:
                infos = self._store.batch_get_trace_infos(list(trace_ids[start : start + _INFOS]))
            except MlflowException as error:
                failure = classify_error(error)
                if isinstance(failure, RetryLater) and error.error_code not in NO_SUCH_CALL:
                    raise failure from error
                self._batched = False  # an older server, or Databricks: one call a trace
                break
            found |= {info.trace_id: dict(info.tags) for info in infos}
        return found

    def _one(self, message: PendingMessage, present: dict[str, dict[str, str]]) -> str:
        from mlflow.exceptions import MlflowException

        trace_id = str(message.payload["trace_id"])
        try:
            before = present.get(trace_id)
            if before is None:
                before = dict(self._store.get_trace_info(trace_id).tags)
            for change, key, value in changes(before, message.payload):
                if change == "set":
                    self._store.set_trace_tag(trace_id, key, value)
                else:
                    self._delete(trace_id, key)
        except MlflowException as error:
            raise classify_error(error) from error
        return json.dumps({key: before[key] for key in sorted(before) if _is_ours(key)})

    def _delete(self, trace_id: str, key: str) -> None:
        """Delete a tag; one that somebody else has deleted since is gone all the same."""
        from mlflow.exceptions import MlflowException

        try:
            self._store.delete_trace_tag(trace_id, key)
        except MlflowException as error:
            if (
                error.error_code != "RESOURCE_DOES_NOT_EXIST"
                or key in self._store.get_trace_info(trace_id).tags
            ):
                raise


def rules_text(rules: Sequence[str]) -> str:
    """Rule ids, sorted and joined by commas; those that the server would cut off are counted: ``a,b,+7``."""
    ids = sorted(rules)
    text = ",".join(ids)
    shown = len(ids)
    while len(text) > MOST_CHARACTERS:
        shown -= 1
        text = ",".join([*ids[:shown], f"+{len(ids) - shown}"])
    return text


def changes(before: dict[str, str], payload: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The writes, in order, that bring tags from ``before`` to what the payload says; none if they are so
    already.
    """
    category, rules = payload.get("category"), rules_text(payload.get("rules", []))
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
    steps += _of_categories(before, payload)
    if ours is not None and (persons or not category):
        steps.append(("delete", CATEGORY, ""))
    return steps


def _of_categories(before: dict[str, str], payload: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The writes for the tags of single categories.

    A message of an older program does not say which rules are of which category: it changes none of them.
    """
    if payload.get("rules") and "categories" not in payload:
        return []
    wanted = {OF_CATEGORY + name: rules_text(ids) for name, ids in payload.get("categories", {}).items()}
    steps = [("set", key, text) for key, text in sorted(wanted.items()) if before.get(key) != text]
    gone = [key for key in sorted(before) if key.startswith(OF_CATEGORY) and key not in wanted]
    return [*steps, *(("delete", key, "") for key in gone)]


def _is_ours(key: str) -> bool:
    return key in (CANDIDATE, RULES, CATEGORY) or key.startswith(OF_CATEGORY)
