"""What a batch of messages changes in records, and a record as it is written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sinks.mlflow.case import Case, Cases
from sinks.mlflow.dataset_server import DatasetServer, ListedRecord, digest
from sinks.mlflow.expectations import Attached, lacking, tag_of
from sinks.mlflow.origin import seen
from sinks.mlflow.provenance import OUTPUT, REASON, REDACTED, REDACTION, WITHDRAWN, edited, newest, tags_of
from sinks.mlflow.records import RecordKey, Records, RecordSource
from sinks.mlflow.redaction import Door


@dataclass
class Changes:
    """Sources by record (None: taken out), the inputs of records, the cases of traces in them, and why traces
    are refused.
    """

    sources: dict[RecordKey, dict[str, RecordSource | None]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    inputs: dict[RecordKey, dict[str, Any]] = field(default_factory=dict)
    cases: dict[tuple[RecordKey, str], Case] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)

    def after(self, records: Records, key: RecordKey) -> dict[str, RecordSource]:
        """The sources of a record after the changes."""
        both = {**records.sources(key), **self.sources[key]}
        return {trace_id: one for trace_id, one in both.items() if one is not None}

    def fetch(self, records: Records, cases: Cases, attached: Attached) -> None:
        """The cases of traces whose output a record gets though they do not enter it: a later one left, or
        the expectations of its dataset are redacted together with it.

        Raises:
            StoreError: the store or the trace table cannot be read.
        """
        lacking: dict[RecordKey, RecordSource] = {}
        for key in self.sources:
            before, after = records.sources(key), self.after(records, key)
            last = newest(after) if after else None
            is_there = (
                not attached.is_redacted(key.dataset)
                and bool(before)
                and last is not None
                and newest(before).trace_id == last.trace_id
            )
            if last is not None and not is_there and (key, last.trace_id) not in self.cases:
                lacking[key] = last
        # The start of a trace is within a day of its end.
        found = cases.of((one.trace_id, one.end_us, one.end_us) for one in lacking.values())
        for key, one in lacking.items():
            if isinstance(case := found[one.trace_id], Case):
                self.cases[key, one.trace_id] = case

    def row(
        self,
        key: RecordKey,
        sources: dict[str, RecordSource],
        present: ListedRecord | None,
        server: DatasetServer,
        door: Door,
        attached: Attached,
    ) -> dict[str, Any]:
        """A record's origin, the expectations that it lacks, and its output if that is ours to change and no
        person changed it.

        The case of the trace that ended last is there, but where that trace is the former one or gone.
        """
        last, tags = newest(sources), tags_of(sources) | seen(sources)
        tags[REASON] = door.passed(last.reason).values[0]
        record: dict[str, Any] = {"inputs": present.inputs if present else self.inputs[key], "tags": tags}
        known = present.tags if present is not None else {}
        if present is None:
            record["source"] = {"source_type": "TRACE", "source_data": {"trace_id": last.trace_id}}
        elif known.get(WITHDRAWN) == "true":
            tags[WITHDRAWN] = "false"
        case = self.cases.get((key, last.trace_id))
        if given := lacking(_wanted(attached, key, case), present):
            record["expectations"] = given
            tags |= tag_of(given, present)
        if case is None:
            return record
        # A merge takes no tag away: one that is there and says nothing any more becomes empty.
        tags |= {tag: text for tag, text in case.origin.items() if text or known.get(tag)}
        if present is None or not edited(present):
            record["outputs"] = server.fitting(key.dataset_id, case.outputs)
            tags[OUTPUT] = digest(record["outputs"])
            if door.fingerprint:
                tags |= {REDACTED: case.attached.get(key.dataset, case).found, REDACTION: door.fingerprint}
        return record


def _wanted(attached: Attached, key: RecordKey, case: Case | None) -> Mapping[str, Any]:
    """The expectations of a record's dataset; none that were to be redacted with content that is gone."""
    if not attached.is_redacted(key.dataset):
        return attached.of(key.dataset)
    wanted: Mapping[str, Any] = {} if case is None else case.attached[key.dataset].values[-1]
    return wanted
