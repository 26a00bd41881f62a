"""Exactly-once in effect: records of MLflow evaluation datasets; merging one again changes nothing.

One dataset a category, ``<prefix>_<category>``, in the source's experiment.  Traces with equal inputs share one record,
with the output of the one that ended last; record tags name every source trace, the rules with their versions and the
reason.  (MLflow keeps the *first* trace as a record's source for ever, so its own source field is not enough.)

What a person did stands: a record with another output than ours, expectations or tags of their own is never changed
again but for its provenance, and is tagged ``withdrawn`` where ours would be deleted; a record a person deleted stays
deleted (SEMANTICS 23).  To tell their deletion from ours after a crash, ours is announced in the store first.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from typing import Any

from sinks.errors import Refused
from sinks.mlflow_tags import sorted_out
from sinks.records import Key, Records, Source
from store import Store
from store.outbox import Pending

SOURCES, RULES, REASON = "tracesieve.sources", "tracesieve.rules", "tracesieve.reason"
OUTPUT, WITHDRAWN = "tracesieve.output", "tracesieve.withdrawn"
_OURS = frozenset((SOURCES, RULES, REASON, OUTPUT, WITHDRAWN, "mlflow.user"))
LISTING_S = 2.0  # a deletion or edit by a person within this time of ours may be missed

Content = Callable[[str, int], tuple[str | None, str | None] | None]


def content_of(store: Store) -> Content:
    """Request and response by trace id and start (µs), from the store's ``traces``; None when the row is gone."""
    import polars as pl

    def fetch(trace_id: str, start_us: int) -> tuple[str | None, str | None] | None:
        near = (pl.col("request_time") - pl.from_epoch(pl.lit(start_us), "us").dt.replace_time_zone("UTC")).abs()
        where = (pl.col("trace_id") == trace_id) & (near <= pl.duration(days=1))
        rows = store.table("traces").read(["request", "response", "landed_us"], where).sort("landed_us")
        return (rows["request"][-1], rows["response"][-1]) if rows.height else None

    return fetch


class MlflowDatasets:
    """Keeps each trace in the datasets its wish names, and in no other.

    Payload: ``{trace_id, start_us, end_us, experiment_id, categories: {name: {rules: [{rule, hash}], reason}}}``;
    no categories withdraws the trace everywhere.  Use it from one thread.
    """

    name = "mlflow_datasets"

    def __init__(self, tracking_uri: str, prefix: str, store: Store, content: Content | None = None) -> None:
        from mlflow import MlflowClient

        self._client = MlflowClient(tracking_uri)
        # What EvaluationDataset.merge_records calls; that method itself only knows the process-wide tracking URI.
        self._server = self._client._tracking_client.store
        self._prefix = prefix
        self._records = Records(store.table("records"))
        self._content = content or content_of(store)
        self._datasets: dict[tuple[str, str], str] = {}
        self._listings: dict[str, tuple[float, dict[str, Any]]] = {}

    def deliver(self, wish: Pending) -> str:
        """Make the trace's records what the wish says; the records that it is now a source of.

        Raises:
            RetryLater: MLflow cannot be reached.
            Refused: MLflow refuses for good, or the trace's content is gone.
        """
        from mlflow.exceptions import MlflowException

        try:
            for key in self._records.leaving():
                self._delete(key)
            return json.dumps([list(key) for key in self._apply(wish.payload)])
        except MlflowException as error:
            raise sorted_out(error) from error

    def _apply(self, payload: dict[str, Any]) -> list[Key]:
        trace_id, wanted = str(payload["trace_id"]), dict(payload.get("categories") or {})
        names = {f"{self._prefix}_{category}": why for category, why in wanted.items()}
        for key in self._records.of_trace(trace_id):
            if key.dataset not in names:
                self._withdraw(key, trace_id)
        return [self._enter(name, payload, why) for name, why in sorted(names.items())]

    def _enter(self, dataset: str, payload: dict[str, Any], why: dict[str, Any]) -> Key:
        trace_id = str(payload["trace_id"])
        rules = tuple(sorted((rule["rule"], rule["hash"]) for rule in why["rules"]))
        source = Source(trace_id, int(payload["end_us"]), rules, str(why.get("reason", "")))
        known = next((key for key in self._records.of_trace(trace_id) if key.dataset == dataset), None)
        if known is not None and self._records.sources(known).get(trace_id) == source:
            return known
        inputs, output = self._inputs_output(trace_id, int(payload["start_us"]))
        dataset_id = self._dataset(dataset, str(payload["experiment_id"]))
        key = Key(dataset, dataset_id, digest(inputs))
        if known is not None and known != key:
            self._withdraw(known, trace_id)
        sources = {**self._records.sources(key), trace_id: source}
        present = self._listing(dataset_id).get(key.record)
        if self._records.is_gone(key) or (present is None and self._records.sources(key)):
            self._records.put(key, source, gone=True)  # a person deleted it: remembered, not written
            return key
        newest = max(sources.values(), key=lambda one: (one.end_us, one.trace_id))
        self._merge(key, inputs, sources, present, output if newest.trace_id == trace_id else None)
        self._records.put(key, source)
        return key

    def _withdraw(self, key: Key, trace_id: str) -> None:
        sources = {k: v for k, v in self._records.sources(key).items() if k != trace_id}
        present = self._listing(key.dataset_id).get(key.record)
        if present is None:
            self._records.drop(key, trace_id, gone=True)
        elif sources:
            newest = max(sources.values(), key=lambda one: (one.end_us, one.trace_id))
            content = self._content(newest.trace_id, newest.end_us)  # its start is within a day of its end
            output = None if content is None else (parsed(content[1]),)
            self._merge(key, present.inputs, sources, present, output)
            self._records.drop(key, trace_id)
        else:
            self._records.drop(key, trace_id, leaving=True)
            self._delete(key)

    def _delete(self, key: Key) -> None:
        """Delete a record without sources, or tag it where a person made it theirs; the announcement goes last."""
        self._listings.pop(key.dataset_id, None)
        present = self._listing(key.dataset_id).get(key.record)
        if present is not None and edited(present):
            tags = {SOURCES: "[]", WITHDRAWN: "true"}
            self._server.upsert_dataset_records(key.dataset_id, [{"inputs": present.inputs, "tags": tags}])
        elif present is not None:
            self._server.delete_dataset_records(key.dataset_id, [present.dataset_record_id])
        self._listings.pop(key.dataset_id, None)
        self._records.left(key)

    def _merge(
        self, key: Key, inputs: dict[str, Any], sources: dict[str, Source], present: Any, output: tuple[Any] | None
    ) -> None:
        """Write a record's provenance, and its output if that is ours to change and no person changed it."""
        newest = max(sources.values(), key=lambda one: (one.end_us, one.trace_id))
        rules = sorted({f"{rule}@{version}" for one in sources.values() for rule, version in one.rules})
        tags = {SOURCES: json.dumps(sorted(sources)), RULES: ",".join(rules), REASON: newest.reason}
        record: dict[str, Any] = {"inputs": inputs}
        if present is not None and WITHDRAWN in (present.tags or {}):
            tags[WITHDRAWN] = "false"
        if output is not None and (present is None or not edited(present)):
            record["outputs"] = output[0]
            tags[OUTPUT] = digest(output[0])
        if present is None:
            record["source"] = {"source_type": "TRACE", "source_data": {"trace_id": newest.trace_id}}
        record["tags"] = tags
        self._server.upsert_dataset_records(key.dataset_id, [record])
        self._listings.pop(key.dataset_id, None)

    def _inputs_output(self, trace_id: str, start_us: int) -> tuple[dict[str, Any], tuple[Any]]:
        content = self._content(trace_id, start_us)
        if content is None:
            raise Refused(f"the content of trace {trace_id} is no longer in the trace table")
        request = parsed(content[0])
        return (request if isinstance(request, dict) else {"input": request}), (parsed(content[1]),)

    def _dataset(self, name: str, experiment_id: str) -> str:
        if (name, experiment_id) not in self._datasets:
            if "'" in name:
                raise Refused("a category with a quote cannot name a dataset")
            found = self._client.search_datasets([experiment_id], f"name = '{name}'", 1, ["created_time ASC"])
            made = found[0] if found else self._client.create_dataset(name, [experiment_id], {"tracesieve": "true"})
            self._datasets[name, experiment_id] = str(made.dataset_id)
        return self._datasets[name, experiment_id]

    def _listing(self, dataset_id: str) -> dict[str, Any]:
        """The server's records by the digest of their inputs, at most ``LISTING_S`` old."""
        at, records = self._listings.get(dataset_id, (-LISTING_S, {}))
        if time.monotonic() - at >= LISTING_S:
            loaded, _ = self._server._load_dataset_records(dataset_id, max_results=None)
            at, records = time.monotonic(), {digest(record.inputs): record for record in loaded}
            self._listings[dataset_id] = (at, records)
        return records


def digest(value: Any) -> str:
    """sha256 of the canonical JSON: of inputs, the key MLflow itself merges by."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def parsed(text: str | None) -> Any:
    """The JSON value of a trace's request or response, or the text itself where it is none."""
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text


def edited(record: Any) -> bool:
    """Whether a person made the record theirs: expectations, tags that are not ours, or another output than we wrote."""
    tags = record.tags or {}
    return bool(record.expectations) or bool(set(tags) - _OURS) or tags.get(OUTPUT) != digest(record.outputs)
