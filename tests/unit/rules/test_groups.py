"""Groups: the values by which traces are counted."""

import pyarrow as pa
import pytest

from rules.groups import group_columns, group_values, label_names
from rules.matcher import raw_table
from store.schemas import TRACES

KEYS = ["experiment", "trace_name", "environment", "model", "tags.a.b", "metadata.k"]


def test_values_are_never_null_and_the_experiment_falls_back_to_its_id():
    kinds = [("AGENT", "none"), ("CHAT_MODEL", "first"), ("CHAT_MODEL", "second")]
    spans = [
        {"attributes": [("mlflow.spanType", f'"{k}"'), ("mlflow.llm.model", f'"{m}"')]} for k, m in kinds
    ]
    table = pa.Table.from_pylist(
        [
            {
                "trace_id": "a",
                "experiment_id": "1",
                "experiment_name": "shop",
                "spans": spans,
                "tags": [("mlflow.traceName", "chat"), ("environment", "prod"), ("a.b", "x" * 500)],
            },
            {"trace_id": "b", "experiment_id": "2", "trace_metadata": [("k", "v")]},
        ],
        schema=TRACES,
    )
    found = group_values(raw_table(table, group_columns(KEYS)), KEYS).to_pylist()
    assert found == [["shop", "chat", "prod", "first", "x" * 128, ""], ["2", "", "", "", "", "v"]]


def test_sem_24_label_names_and_their_collisions():
    assert label_names(["experiment", "tags.a.b"]) == ["experiment", "tags_a_b"]
    with pytest.raises(ValueError, match="same label"):
        label_names(["tags.a.b", "tags.a_b"])
    with pytest.raises(ValueError, match="unknown group key"):
        group_columns(["nothing"])


def test_no_rows_and_no_keys():
    empty = raw_table(TRACES.empty_table(), group_columns(KEYS))
    assert group_values(empty, KEYS).to_pylist() == []
    assert group_values(pa.table({"trace_id": ["a"]}), []).to_pylist() == [[]]
