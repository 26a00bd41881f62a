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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field

from sinks.delivery import Outcome, each
from sinks.errors import Refused, RetryLater
from sinks.mlflow.dataset_server import DatasetServer, Listed, digest
from sinks.mlflow.records import GONE, LEAVING, PERSON, Key, Records, Source, marked
from sinks.mlflow.tags import classify_error
from store import Store, StoreError
from store.outbox import PendingMessage

SOURCES, RULES, REASON, ADDED_BY = (
    "tracesieve.sources",
    "tracesieve.rules",
    "tracesieve.reason",
    "tracesieve.added_by",
)
OUTPUT, WITHDRAWN = "tracesieve.output", "tracesieve.withdrawn"
_OURS = frozenset((SOURCES, RULES, REASON, ADDED_BY, OUTPUT, WITHDRAWN, "mlflow.user"))
_CATEGORY = re.compile(r"\w[\w .:/-]{0,99}")  # a person's own may be any text; a dataset's name may not


class DatasetsConfig(BaseModel):
    """Regression datasets: one a category, named ``<prefix>_<category>``.

    They live in the experiment of each trace; with ``experiment`` all of them in the one of that name, made
    if there is none.  A source that is no MLflow server has no experiments: its datasets are in
    ``experiment``, or in one named as ``prefix``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    prefix: str = Field(
        default="tracesieve",
        pattern=r"^[A-Za-z0-9_.-]{1,64}$",
        description="a dataset is named <prefix>_<category>",
    )
    experiment: str | None = Field(
        default=None,
        min_length=1,
        description="the experiment that holds them; absent: each trace's own, or one named as the prefix",
    )


class Contents(Protocol):
    """Where requests and responses are kept."""

    def contents(self, starts_us: Mapping[str, int]) -> dict[str, tuple[str | None, str | None]]:
        """Request and response by trace id, given the start of each; those that are gone are left out."""
        ...


@dataclass
class _Batch:
    """What is to be changed: sources by record (None: taken out), and the content of the traces that
    enter.
    """

    changes: dict[Key, dict[str, Source | None]] = field(default_factory=lambda: defaultdict(dict))
    inputs: dict[Key, dict[str, Any]] = field(default_factory=dict)
    outputs: dict[tuple[Key, str], Any] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


class MlflowDatasets:
    """Keeps each trace in the datasets its wish names, and in no other.

    Payload: ``{trace_id, start_us, end_us, experiment_id, categories: {name: {rules: [{rule, hash}], reason,
    person?}}}``; no categories withdraws the trace everywhere.  Use it from one thread.
    """

    name = "mlflow_datasets"

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
        self._records = Records(store.table("records"))
        self._contents = contents

    def deliver(self, messages: Sequence[PendingMessage]) -> list[Outcome]:
        """Make the traces' records what the wishes say, in one merge a dataset.

        Raises:
            RetryLater: MLflow or the trace table cannot be reached.
        """
        try:
            return self._together(messages)
        except (Refused, RetryLater) as error:
            if isinstance(error, RetryLater) and (not error.answered or len(messages) == 1):
                raise
            return each(messages, self._alone)  # something about one of them: find out which

    def _alone(self, message: PendingMessage) -> str:
        (outcome,) = self._together([message])
        if outcome.error is not None:
            raise outcome.error
        return outcome.result

    def _together(self, messages: Sequence[PendingMessage]) -> list[Outcome]:
        from mlflow.exceptions import MlflowException

        try:
            self.server.begin()
            self._delete(self._records.leaving())
            batch = self._planned([message.payload for message in messages])
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

    def _planned(self, payloads: Sequence[dict[str, Any]]) -> _Batch:
        batch = _Batch()
        entering: list[tuple[dict[str, Any], str, Source, Key | None]] = []
        for payload in payloads:
            trace_id = str(payload["trace_id"])
            known = {key.dataset: key for key in self._records.of_trace(trace_id)}
            names = self._names(payload, batch)
            for dataset, key in known.items():
                if dataset not in names:
                    batch.changes[key][trace_id] = None
            for dataset, why in sorted(names.items()):
                source = _source(payload, why)
                there = known.get(dataset)
                if there is None or self._records.sources(there).get(trace_id) != source:
                    entering.append((payload, dataset, source, there))
        contents = self._contents.contents(
            {str(one["trace_id"]): int(one["start_us"]) for one, *_ in entering}
        )
        for payload, dataset, source, there in entering:
            if source.trace_id not in contents:
                batch.refused[source.trace_id] = (
                    f"the content of trace {source.trace_id} is no longer in the trace table"
                )
                continue
            request, response = contents[source.trace_id]
            value = parsed(request)
            inputs = value if isinstance(value, dict) else {"input": value}
            key = Key(dataset, self.server.dataset(dataset, self._experiment_id(payload)), digest(inputs))
            if there is not None and there != key:
                batch.changes[there][source.trace_id] = None
            batch.changes[key][source.trace_id] = source
            batch.inputs[key] = inputs
            batch.outputs[key, source.trace_id] = parsed(response)
        return batch

    def _names(self, payload: dict[str, Any], batch: _Batch) -> dict[str, dict[str, Any]]:
        """The datasets that a wish names, with why; a category that cannot name one is refused, the others
        are served.
        """
        wanted: dict[str, dict[str, Any]] = dict(payload.get("categories") or {})
        bad = [category for category in wanted if not _CATEGORY.fullmatch(category)]
        if bad:
            batch.refused[str(payload["trace_id"])] = (
                "an eval_candidate of more than 100 or of odd characters names no dataset"
            )
        return {f"{self._prefix}_{category}": why for category, why in wanted.items() if category not in bad}

    def _experiment_id(self, payload: dict[str, Any]) -> str:
        return (
            str(payload["experiment_id"])
            if self._experiment is None
            else self.server.experiment(self._experiment)
        )

    def _write(self, batch: _Batch) -> None:
        """Our deletions are announced, then records merged, then noted, then ours deleted: any cut is mended
        by a repeat.
        """
        merged: dict[Key, dict[str, Source | None]] = {}
        announced: dict[Key, dict[str, Source | None]] = {}
        records: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for key, changes in batch.changes.items():
            before = self._records.sources(key)
            after = {trace: one for trace, one in {**before, **changes}.items() if one is not None}
            present = self.server.listing(key.dataset_id).get(key.record)
            if self._records.is_gone(key) or (present is None and before):
                merged[key] = {**changes, **marked(GONE)}  # a person deleted it: remembered, not written
            elif after:
                records[key.dataset_id].append(self._record(key, after, present, batch))
                merged[key] = changes
            else:
                announced[key] = {**changes, **marked(LEAVING)}
        self._records.change(announced)
        for dataset_id, rows in records.items():
            self.server.merge(dataset_id, rows)
        self._records.change(merged)
        self._delete(list(announced))

    def _record(
        self, key: Key, sources: dict[str, Source], present: Listed | None, batch: _Batch
    ) -> dict[str, Any]:
        """A record's provenance, and its output if that is ours to change and no person changed it."""
        newest = max(sources.values(), key=_last)
        rules = sorted(
            {f"{rule}@{version}" for one in sources.values() for rule, version in one.rules if rule != PERSON}
        )
        people = {rule == PERSON for one in sources.values() for rule, _ in one.rules}
        tags = {
            SOURCES: json.dumps(sorted(sources)),
            RULES: ",".join(rules),
            REASON: newest.reason,
            ADDED_BY: ",".join(["person"] * (True in people) + ["rule"] * (False in people)),
        }
        record: dict[str, Any] = {
            "inputs": batch.inputs[key] if present is None else present.inputs,
            "tags": tags,
        }
        if present is None:
            record["source"] = {"source_type": "TRACE", "source_data": {"trace_id": newest.trace_id}}
        elif present.tags.get(WITHDRAWN) == "true":
            tags[WITHDRAWN] = "false"
        output = self._output(key, newest, batch)
        if output is not None and (present is None or not edited(present)):
            record["outputs"] = output[0]
            tags[OUTPUT] = digest(output[0])
        return record

    def _output(self, key: Key, newest: Source, batch: _Batch) -> tuple[Any] | None:
        """The output of the trace that ended last; None where it is the one that is there already, or is
        gone.
        """
        if (key, newest.trace_id) in batch.outputs:
            return (batch.outputs[key, newest.trace_id],)
        before = self._records.sources(key)
        if before and max(before.values(), key=_last).trace_id == newest.trace_id:
            return None
        found = self._contents.contents(
            {newest.trace_id: newest.end_us}
        )  # its start is within a day of its end
        return (parsed(found[newest.trace_id][1]),) if newest.trace_id in found else None

    def _delete(self, keys: Sequence[Key]) -> None:
        """Delete records without sources, or tag them where a person made them theirs; the announcement goes
        last.
        """
        by_dataset: dict[str, list[Key]] = defaultdict(list)
        for key in keys:
            by_dataset[key.dataset_id].append(key)
        for dataset_id, group in by_dataset.items():
            listing = self.server.listing(dataset_id)
            kept = [
                listing[key.record] for key in group if key.record in listing and edited(listing[key.record])
            ]
            ours = [key.record for key in group if key.record in listing and not edited(listing[key.record])]
            if kept:
                tags = {SOURCES: "[]", WITHDRAWN: "true"}
                self.server.merge(dataset_id, [{"inputs": one.inputs, "tags": tags} for one in kept])
            if ours:
                self.server.delete(dataset_id, ours)
        self._records.change({key: {LEAVING: None} for key in keys})


def _last(source: Source) -> tuple[int, str]:
    return source.end_us, source.trace_id


def _source(payload: dict[str, Any], why: dict[str, Any]) -> Source:
    rules = [(rule["rule"], rule["hash"]) for rule in why["rules"]] + (
        [(PERSON, "")] if why.get("person") else []
    )
    return Source(
        str(payload["trace_id"]), int(payload["end_us"]), tuple(sorted(rules)), str(why.get("reason", ""))
    )


def parsed(text: str | None) -> Any:
    """The JSON value of a trace's request or response, or the text itself where it is none."""
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text


def edited(record: Listed) -> bool:
    """Whether a person made the record theirs: expectations, tags that are not ours, or another output than
    we wrote.
    """
    return (
        bool(record.expectations)
        or bool(set(record.tags) - _OURS)
        or record.tags.get(OUTPUT) != digest(record.outputs)
    )
