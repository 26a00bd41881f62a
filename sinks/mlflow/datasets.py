"""Exactly-once in effect: records of MLflow evaluation datasets; merging one again changes nothing.

One dataset a category, ``<prefix>_<category>``.  Traces with equal inputs share one record, with the output
of the one that ended last; record tags name every source trace, the rules with their versions, the reason,
and whether a rule or a person put it there.  (MLflow keeps the *first* trace as a record's source for ever,
so its own field is not enough.)

What a person did stands: a record with another output than ours, expectations or tags of their own is never
changed again but for its provenance, and is tagged ``withdrawn`` where ours would be deleted; a record a
person deleted stays deleted (SEMANTICS 23).  To tell their deletion from ours after a crash, ours is
announced in the store first.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Self

from sinks.base import MessageKind, Outcome, Payload, SinkConfig, SinkContext
from sinks.delivery import each
from sinks.errors import Refused, RetryLater
from sinks.mlflow.case import Cases, Contents
from sinks.mlflow.changes import Changes
from sinks.mlflow.config import DATASETS, SERVER, DatasetsConfig
from sinks.mlflow.dataset_server import DatasetServer, digest
from sinks.mlflow.expectations import Attached, Attaching
from sinks.mlflow.leaving import delete
from sinks.mlflow.leftovers import Leftovers
from sinks.mlflow.provenance import source_of
from sinks.mlflow.records import GONE, LEAVING, RecordKey, Records, RecordSource, marked
from sinks.mlflow.redaction import Door, plugin_problem
from sinks.mlflow.rewritten import Rewriting
from sinks.mlflow.server import classify_error
from store import Store, StoreError
from store.outbox import PendingMessage

_CATEGORY = re.compile(r"\w[\w .:/-]{0,99}")  # a person's own may be any text; a dataset's name may not


class MlflowDatasets(Leftovers):
    """Keeps each trace in the datasets that its message names, and in no other; a message without categories
    withdraws the trace everywhere.
    """

    name = "mlflow_datasets"
    consumes = MessageKind.MEMBERSHIP
    config_keys = (DATASETS,)
    withdraws = True

    def __init__(
        self,
        tracking_uri: str,
        config: DatasetsConfig,
        store: Store,
        contents: Contents,
        *,
        own_experiments: bool = True,
    ) -> None:
        self.server = DatasetServer(tracking_uri)
        self._prefix = config.prefix
        self._experiment = config.experiment or (None if own_experiments else config.prefix)
        self._experiments = config.own_places
        self._records = Records(store.table("records"))
        self._door = Door(config.redaction)
        self._attached = Attached(config.expectations, self._door)
        self._cases = Cases(contents, store, self._door, self._attached)
        self._attaching = Attaching(self.server, self._records, self._attached)
        self._rewriting = Rewriting(self.server, self._records, self._door)

    @classmethod
    def names(cls, config: SinkConfig) -> Sequence[str]:
        """One where the config names a server, unless it says ``datasets: false``."""
        wanted = config.get(SERVER.path) is not None and config.get(DATASETS.path) is not False
        return [cls.name] if wanted else []

    @classmethod
    def open(cls, context: SinkContext, name: str) -> Self | None:
        """The server of the config; datasets have their default names where the config wants none."""
        server, datasets = context.config.get(SERVER.path), context.config.get(DATASETS.path)
        if server is None:
            return None
        return cls(
            server.tracking_uri,
            datasets or DatasetsConfig(),
            context.store,
            context.trace_table(),
            own_experiments=context.own_experiments,
        )

    @classmethod
    def withdrawal(cls, target: str) -> Payload:
        """No categories."""
        return {"trace_id": target, "categories": {}}

    @classmethod
    def is_withdrawal(cls, payload: Payload) -> bool:
        """Whether it leaves the trace in no dataset."""
        return not payload.get("categories")

    def deliver(self, messages: Sequence[PendingMessage]) -> list[Outcome]:
        """Make the traces' records what the messages say, in one merge a dataset.

        Raises:
            RetryLater: MLflow or the trace table cannot be reached.
        """
        try:
            return self._together(messages)
        except (Refused, RetryLater) as error:
            if isinstance(error, RetryLater) and (not error.answered or len(messages) == 1):
                raise
            return each(messages, self._alone)  # something about one of them: find out which

    def _touched(self, payloads: Sequence[dict[str, Any]]) -> set[str]:
        """The names of the datasets that messages are about."""
        traces = {str(payload["trace_id"]) for payload in payloads}
        known = {key.dataset for trace in traces for key in self._records.of_trace(trace)}
        named = {category for payload in payloads for category in payload.get("categories") or {}}
        return known | {f"{self._prefix}_{category}" for category in named}

    @classmethod
    def missing(cls, config: SinkConfig) -> dict[str, str]:
        """The redaction plugin, where it cannot be imported."""
        datasets = config.get(DATASETS.path)
        problem = plugin_problem(datasets.redaction) if datasets and cls.names(config) else ""
        return {"datasets.redaction.plugin": problem} if problem else {}

    def _alone(self, message: PendingMessage) -> str:
        (outcome,) = self._together([message])
        if outcome.error is not None:
            raise outcome.error
        return outcome.result

    def _together(self, messages: Sequence[PendingMessage]) -> list[Outcome]:
        from mlflow.exceptions import MlflowException

        try:
            self.server.begin()
            delete(self.server, self._records, self._records.leaving())
            payloads = [message.payload for message in messages]
            touched = self._touched(payloads)
            self._rewriting.look_through(touched)
            self._attaching.look_through(touched)
            batch = self._planned(payloads)
            self._write(batch)
        except MlflowException as error:
            raise classify_error(error) from error
        except StoreError as error:
            raise RetryLater(str(error)) from error
        return [
            self._outcome(message, batch.refused.get(str(message.payload["trace_id"])))
            for message in messages
        ]

    def _outcome(self, message: PendingMessage, refused: str | None) -> Outcome:
        if refused is not None:
            return Outcome(message, Refused(refused))
        return Outcome(
            message,
            result=json.dumps(
                [list(key) for key in self._records.of_trace(str(message.payload["trace_id"]))]
            ),
        )

    def _planned(self, payloads: Sequence[dict[str, Any]]) -> Changes:
        batch = Changes()
        entering: list[tuple[dict[str, Any], str, RecordSource, RecordKey | None]] = []
        for payload in payloads:
            trace_id = str(payload["trace_id"])
            known = {key.dataset: key for key in self._records.of_trace(trace_id)}
            names = self._names(payload, batch)
            for dataset, key in known.items():
                if dataset not in names:
                    batch.sources[key][trace_id] = None
            for dataset, why in sorted(names.items()):
                source = source_of(payload, why)
                there = known.get(dataset)
                if there is None or self._records.sources(there).get(trace_id) != source:
                    entering.append((payload, dataset, source, there))
        cases = self._cases.of(
            (one.trace_id, int(payload["start_us"]), one.end_us) for payload, _, one, _ in entering
        )
        for payload, dataset, source, there in entering:
            case = cases[source.trace_id]
            if isinstance(case, Refused):
                batch.refused[source.trace_id] = str(case)
                continue
            key = RecordKey(
                dataset,
                self.server.dataset(dataset, self._experiment_id(payload, dataset)),
                digest(case.inputs),
            )
            if there is not None and there != key:
                batch.sources[there][source.trace_id] = None
            batch.sources[key][source.trace_id] = source
            batch.inputs[key] = case.inputs
            batch.cases[key, source.trace_id] = case
        return batch

    def _names(self, payload: dict[str, Any], batch: Changes) -> dict[str, dict[str, Any]]:
        """The datasets that a message names, with why; a category that cannot name one is refused, the
        others are served.
        """
        wanted: dict[str, dict[str, Any]] = dict(payload.get("categories") or {})
        bad = [category for category in wanted if not _CATEGORY.fullmatch(category)]
        if bad:
            batch.refused[str(payload["trace_id"])] = (
                "an eval_candidate of more than 100 or of odd characters names no dataset"
            )
        return {f"{self._prefix}_{category}": why for category, why in wanted.items() if category not in bad}

    def _experiment_id(self, payload: dict[str, Any], dataset: str) -> str:
        name = self._experiments.get(dataset, self._experiment)
        return str(payload["experiment_id"]) if name is None else self.server.experiment(name)

    def _write(self, batch: Changes) -> None:
        """Our deletions are announced, then records merged, then noted, then ours deleted: any cut is mended
        by a repeat.
        """
        merged: dict[RecordKey, dict[str, RecordSource | None]] = {}
        announced: dict[RecordKey, dict[str, RecordSource | None]] = {}
        records: dict[str, list[dict[str, Any]]] = defaultdict(list)
        batch.fetch(self._records, self._cases, self._attached)
        for key, changes in batch.sources.items():
            before, after = self._records.sources(key), batch.after(self._records, key)
            present = self.server.listing(key.dataset_id).get(key.record)
            if self._records.is_gone(key) or (present is None and before):
                merged[key] = {**changes, **marked(GONE)}  # a person deleted it: remembered, not written
            elif after:
                row = batch.row(key, after, present, self.server, self._door, self._attached)
                records[key.dataset_id].append(row)
                merged[key] = changes
            else:
                announced[key] = {**changes, **marked(LEAVING)}
        self._records.change(announced)
        for dataset_id, rows in records.items():
            self.server.merge(dataset_id, rows)
        self._records.change(merged)
        delete(self.server, self._records, list(announced))
