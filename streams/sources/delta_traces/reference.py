"""What a table of traces looks like, as a page: made from the schema that the program reads with."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pyarrow as pa

from store.schemas import LOCATED, LOCATION, TRACES
from streams.sources.delta_traces.columns import OPTIONAL, SPAN_NEEDS

MEANING = {
    "trace_id": "names the trace; rows with the same one are one trace",
    "experiment_id": "the experiment, by id",
    "experiment_name": "the experiment, by name; the group key `experiment` is the name, else the id",
    "client_request_id": "the caller's own id, for conditions",
    "request_time": "when it began",
    "state": "`OK`, `ERROR`, `IN_PROGRESS` or `STATE_UNSPECIFIED`",
    "execution_duration_ms": "how long it took",
    "request": "what was asked, as MLflow keeps it (JSON), for conditions and dataset records",
    "response": "what was answered",
    "trace_metadata": "keys of MLflow, such as `mlflow.trace.tokenUsage` and `mlflow.trace.cost` (JSON)",
    "tags": "such as `mlflow.traceName`; keys that `group_by` and conditions name",
    "spans": "its spans",
    "spans.span_id": "names the span",
    "spans.trace_id": "not read",
    "spans.parent_id": "the span it is within; null for the root",
    "spans.start_time": "when it began",
    "spans.end_time": "when it ended",
    "spans.status_code": "`OK`, `ERROR` or `UNSET`, also as OpenTelemetry writes them",
    "spans.status_message": "what it says about an error",
    "spans.name": "its name",
    "spans.attributes": 'values as MLflow writes them: JSON, `mlflow.spanType` is `"TOOL"`, quotes included',
    "spans.events": "what happened in it; exceptions are read from here",
    "spans.events.name": "such as `exception`",
    "spans.events.timestamp": "when",
    "spans.events.attributes": "such as `exception.type`",
    "assessments": "feedback and expectations",
    "assessments.assessment_id": "names the assessment",
    "assessments.assessment_name": "what `feedback.NAME` and `expectation.NAME` mean in a condition",
    "assessments.source_type": "such as `HUMAN`",
    "assessments.source_id": "who",
    "assessments.create_time": "when it was given",
    "assessments.last_update_time": "when it was last changed: a later change of the trace",
    "assessments.feedback_value": "the value, as JSON",
    "assessments.feedback_error": "why there is none",
    "assessments.expectation_value": "the value, as JSON",
    "assessments.rationale": "why",
    "assessments.span_id": "the span that it is about",
    "landed_us": "when the row was written, µs: of two equally new contents the later one stands",
}


def table_reference() -> str:
    """A Markdown table of all columns and fields: type, whether a table must have it, meaning."""
    lines = ["| column | type | must be there | |", "|---|---|---|---|"]
    lines += [f"| `{name}` | {kind} | {needed} | {MEANING[name]} |" for name, kind, needed in columns()]
    path = {name: ".".join((LOCATION, *place)) for name, place in LOCATED.items()}
    also = "; ".join(f"`{name}` from `{place}`" for name, place in path.items())
    lines += ["", f"A table without these columns may say them in `{LOCATION}`, a struct or JSON: {also}."]
    return "\n".join(lines) + "\n"


def columns() -> Iterator[tuple[str, str, str]]:
    """Every column and field: dotted name, type in Spark's words, and whether it is needed."""
    for field in TRACES:
        needed = "" if field.name in OPTIONAL else "yes"
        yield field.name, _type(field.type), needed
        yield from _inner(field.name, field.type, SPAN_NEEDS if field.name == "spans" else frozenset())


def _inner(name: str, kind: pa.DataType, needed: frozenset[str]) -> Iterator[tuple[str, str, str]]:
    if pa.types.is_list(kind) and pa.types.is_struct(kind.value_type):
        for field in kind.value_type:
            path = f"{name}.{field.name}"
            yield path, _type(field.type), "yes" if field.name in needed else ""
            yield from _inner(path, field.type, frozenset())


def _type(kind: pa.DataType) -> str:
    types = pa.types
    if types.is_list(kind):
        return "array of structs"
    if types.is_map(kind):
        return "map of strings"
    if types.is_timestamp(kind):
        return "timestamp"
    return "bigint" if types.is_integer(kind) else "double" if types.is_floating(kind) else "string"


if __name__ == "__main__":
    sys.stdout.write(table_reference())
