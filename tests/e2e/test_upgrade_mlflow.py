"""A store that the program of version 2 wrote goes on with this one, against the MLflow server that it
watched: what follows is what the former program made of the same store and server, and ``undo`` takes all of
it back.
"""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support.command_line import tracesieve
from support.mlflow_contents import on_server
from support.servers import mlflow_server
from support.store_v2 import AFTER_US, answer, document_of, restored

from sinks.mlflow.tags import OF_CATEGORY
from store import open_store
from tracesieve.config.loading import load_settings
from tracesieve.run import once, parts

pytestmark = [pytest.mark.e2e, pytest.mark.spark, pytest.mark.slow]
CONFIG = """
source: {kind: mlflow, tracking_uri: 'URI', experiments: [support], start: earliest, settle: 0s}
store: store
rules: [rules.yaml]
mlflow: {tracking_uri: 'URI'}
metrics: null
alerts: {alertmanager: ['http://127.0.0.1:9']}
spark: {master: 'local[2]', memory: 1g}
"""


RECORD_TAGS = {
    f"tracesieve.{name}" for name in ("sources", "rules", "reason", "added_by", "output", "withdrawn")
}
WORDS = {"value", "summary", "traces", "errors"}  # of an alert's end: version 2 gave those of its beginning


def without_words(document: dict[str, Any], first_new: int) -> dict[str, Any]:
    """A document without what an alert's end says of its value, and so without the keys of such messages."""
    found = {**document, "alerts": [_without(alert) for alert in document["alerts"]]}
    found["server"] = {**document["server"], "tags": of_version_2(document["server"]["tags"])}
    found["server"]["records"] = [_record_without(*one) for one in document["server"]["records"]]
    found["messages"] = [
        _message_without(one) if one["seq"] >= first_new else one for one in document["messages"]
    ]
    found["waiting"] = [{**one, "key": _number(one["key"])} for one in document["waiting"]]
    found["outcomes"] = sorted([_number(key), outcome] for key, outcome in document["outcomes"])
    return found


def _message_without(message: dict[str, Any]) -> dict[str, Any]:
    """A new message without what version 2 did not put into such a one, and so without its key."""
    payload = message["payload"]
    if message["sink"] == "mlflow_tags":
        return {**_without(message, {"key"}), "payload": _without(payload, {"categories"})}
    if payload.get("status") == "resolved":
        return {**_without(message, {"key"}), "payload": _without(payload)}
    return message


def of_version_2(tags: list[list[str]]) -> list[list[str]]:
    """Version 2 knew no tag a category."""
    return [one for one in tags if not one[1].startswith(OF_CATEGORY)]


def _record_without(dataset: str, inputs: str, tags: str) -> list[Any]:
    """A record without the tags that version 2 did not know."""
    return [
        dataset,
        json.loads(inputs),
        {key: one for key, one in json.loads(tags).items() if key in RECORD_TAGS},
    ]


def categories_delivered(document: dict[str, Any]) -> list[list[str]]:
    """The tags of single categories that the delivered messages ask for: those of traces that were decided
    again, and of no other.
    """
    delivered = {key for key, outcome in document["outcomes"] if outcome == "delivered"}
    newest = {
        one["target"]: one["payload"]
        for one in document["messages"]
        if one["sink"] == "mlflow_tags" and one["key"] in delivered
    }
    return sorted(
        [trace, OF_CATEGORY + name, ",".join(rules)]
        for trace, payload in newest.items()
        for name, rules in payload.get("categories", {}).items()
    )


def _without(row: dict[str, Any], names: set[str] = WORDS) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


def _number(key: str) -> int:
    """A message's place in the outbox."""
    return int(key.rpartition("-")[2])


def compared(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """The same part by part, so that a failure is readable."""
    first_new = len(answer("before")["messages"])
    found, expected = (without_words(document, first_new) for document in (found, expected))
    assert found.keys() == expected.keys()
    for name, part in expected.items():
        assert found[name] == part, name


def test_sem_19_22_23_a_store_of_version_2_goes_on_and_undo_takes_everything_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, began = restored(tmp_path), time.monotonic_ns()
    first = iter([AFTER_US])
    monkeypatch.setattr(
        once, "wall_us", lambda: next(first, AFTER_US + (time.monotonic_ns() - began) // 10**9 * 10**6)
    )
    monkeypatch.setattr(once, "DRAIN_S", 4.0)  # an Alertmanager of the config is down
    with mlflow_server(tmp_path) as server:
        config = tmp_path / "tracesieve.yaml"
        config.write_text(CONFIG.replace("URI", server.uri))
        with ExitStack() as stack:
            settings = load_settings(str(config))
            run = parts.open_run(settings, stack, dry_run=False, rebuild=False, now_us=AFTER_US)
            assert once.run_once(run) == 2  # two alerts wait for the Alertmanager
        found = document_of(open_store(str(path)), AFTER_US)
        present = on_server(server.database)
        compared({**found, "server": present}, answer("after"))
        of_categories = [one for one in present["tags"] if one[1].startswith(OF_CATEGORY)]
        assert of_categories == categories_delivered(found) != []
        tags = [json.loads(text) for _, _, text in present["records"]]
        assert any("tracesieve.first_seen" in one for one in tags)  # of those that changed since
        done = tracesieve("undo", "-c", str(config))
        assert done.returncode == 0, done.stderr
        assert on_server(server.database) == answer("undone")["server"]
    assert document_of(open_store(str(path)), AFTER_US)["records"] == []
