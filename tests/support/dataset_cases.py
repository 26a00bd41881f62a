"""The sink of datasets against a real MLflow server, and what that server then holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sinks.mlflow.config import DatasetsConfig
from sinks.mlflow.datasets import MlflowDatasets
from store import Store
from store.outbox import PendingMessage

CONTENT: dict[str, tuple[str | None, str | None]] = {
    "t1": ('{"q": "same"}', '"first"'),
    "t2": ('{"q": "same"}', '"second"'),
    "t3": ('{"q": "other"}', '{"a": 3}'),
}
LABELS: dict[str, dict[str, str]] = {}  # tags and metadata by trace


def membership(
    trace_id: str, experiment_id: str, *categories: str, end_us: int | None = None
) -> dict[str, Any]:
    why = {"rules": [{"rule": "tool-errors", "hash": "abc"}], "reason": "tool-errors matched"}
    return {
        "trace_id": trace_id,
        "start_us": 1,
        "end_us": end_us or int(trace_id[-1]),
        "experiment_id": experiment_id,
        "categories": dict.fromkeys(categories, why),
    }


class Contents:
    """What the trace table would say."""

    def contents(self, starts_us: Mapping[str, int]) -> dict[str, tuple[str | None, str | None]]:
        return {trace: CONTENT[trace] for trace in starts_us if trace in CONTENT}

    def labels(self, starts_us: Mapping[str, int]) -> dict[str, dict[str, str]]:
        return {trace: LABELS[trace] for trace in starts_us if trace in LABELS}


class Datasets:
    """The sink, and what the server holds."""

    def __init__(self, uri: str, experiment_id: str, store: Store) -> None:
        self.store, self.uri, self.experiment_id = store, uri, experiment_id
        self.restart()

    def restart(self, **config: Any) -> None:
        """A new process, with these keys below ``datasets`` of its config."""
        of_config = DatasetsConfig.model_validate(config)
        self.sink = MlflowDatasets(self.uri, of_config, self.store, Contents())

    def answers(self, responses: Mapping[str, str | None]) -> None:
        """Deliver traces together, each with a request of its own and that response."""
        for trace_id, response in responses.items():
            CONTENT[trace_id] = (json.dumps({"q": trace_id}), response)
        self.together(*((trace_id, "error_case") for trace_id in responses))

    def deliver(self, trace_id: str, *categories: str) -> None:
        self.together((trace_id, *categories))

    def together(self, *messages: tuple[str, ...]) -> None:
        pending = [
            PendingMessage("mlflow_datasets", t, membership(t, self.experiment_id, *categories))
            for t, *categories in messages
        ]
        for outcome in self.sink.deliver(pending):
            if outcome.error is not None:
                raise outcome.error

    def found(self) -> list[Any]:
        name = "name = 'tracesieve_error_case'"
        return list(self.sink.server._client.search_datasets([self.experiment_id], name))

    def dataset(self) -> Any:
        (one,) = self.found()
        return one

    def records(self) -> dict[str, Any]:
        loaded, _ = self.sink.server._store._load_dataset_records(self.dataset().dataset_id)
        return {record.inputs["q"]: record for record in loaded}
