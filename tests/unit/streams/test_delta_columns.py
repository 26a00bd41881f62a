"""The columns of a Delta source: what does not fit, where an experiment comes from, their page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from support.delta_cases import SHORT, opened, trace, write

from store.content import located
from streams.errors import SourceError
from streams.query import check_source
from streams.sources.delta_traces.columns import present, problems
from streams.sources.delta_traces.reference import MEANING, columns, table_reference
from streams.sources.delta_traces.survey import shape
from streams.sources.delta_traces.table import DeltaTracesTable

PLACE = pa.struct(
    [
        ("type", pa.string()),
        ("mlflow_experiment", pa.struct([("experiment_id", pa.string())])),
        ("inference_table", pa.struct([("full_table_name", pa.string())])),
    ]
)


def changed(name: str, kind: Any) -> pa.Schema:
    index = SHORT.get_field_index(name)
    return SHORT.remove(index) if kind is None else SHORT.set(index, pa.field(name, kind))


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("state", None, "column state is missing (map it with source.columns.state)"),
        ("state", pa.int32(), "column state is int32, not string"),
        ("spans", pa.list_(pa.string()), "column spans is list<item: string>, not an array of structs"),
        (
            "spans",
            pa.list_(pa.struct([("span_id", pa.string())])),
            "column spans is missing the fields name, start_time",
        ),
        (
            "request",
            pa.struct([pa.field("metadata", pa.binary(), False), pa.field("value", pa.binary(), False)]),
            "column request is a variant, not string (write it as that, `to_json(request)`)",
        ),
    ],
)
def test_what_does_not_fit_is_said_of_each_column(name: str, kind: Any, message: str) -> None:
    assert problems(changed(name, kind), {}) == [message]


def test_what_a_table_has_of_a_trace_by_our_names() -> None:
    schema = changed("spans", pa.list_(pa.struct([("span_id", pa.string()), ("odd", pa.string())])))
    found = present(schema.append(pa.field("more", pa.string())), {"request": "more", "response": "gone"})
    assert {"state", "request", "spans", "spans.span_id"} <= found
    assert found & {"response", "spans.odd", "spans.name", "more"} == set()


@pytest.mark.parametrize(
    ("place", "experiment_id", "experiment_name"),
    [
        ({"mlflow_experiment": {"experiment_id": "7"}, "inference_table": None}, "7", None),
        ({"mlflow_experiment": None, "inference_table": {"full_table_name": "a.b.c"}}, None, "a.b.c"),
        ('{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": 7}}', "7", None),
        ("not JSON", None, None),
        ("[" * 10_000, None, None),
        (None, None, None),
        ({"mlflow_experiment": {"experiment_id": ["7"]}}, None, None),
    ],
)
def test_an_experiment_by_the_place_of_a_trace(
    place: Any, experiment_id: str | None, experiment_name: str | None
) -> None:
    found = [located(place, name) for name in ("experiment_id", "experiment_name")]
    assert found == [experiment_id, experiment_name]


def test_init_shows_that_the_experiment_comes_from_the_place(tmp_path: Path) -> None:
    schema = changed("experiment_id", None)
    schema = schema.remove(schema.get_field_index("experiment_name")).append(
        pa.field("trace_location", PLACE)
    )
    write_deltalake(str(tmp_path), schema.empty_table())
    verdicts = {one.name: one.verdict for one in shape(str(tmp_path))}
    assert verdicts["experiment_id"] == verdicts["experiment_name"] == "ok, from trace_location"


@pytest.mark.parametrize("name", ["main.prod.traces", "prod.traces", "`my-cat`.prod.`a b`"])
def test_a_name_in_a_catalog_is_answered_with_what_to_write(tmp_path: Path, name: str) -> None:
    _, config = opened(tmp_path / "store", tmp_path / name)
    with pytest.raises(SourceError) as caught:
        check_source(config)
    text = str(caught.value)
    assert text.startswith(f"source.table: {name} is a name in a catalog")
    assert f"`DESCRIBE DETAIL {name}`" in text
    assert "docs/cluster.md" in text
    with pytest.raises(SourceError, match=r"--table: .* is a name in a catalog"):
        shape(name)


def with_feature(table: Path, *features: str) -> None:
    """Say in the log that readers must know these."""
    write(table, [trace(1)])
    protocol = {
        "minReaderVersion": 3,
        "minWriterVersion": 7,
        "readerFeatures": list(features),
        "writerFeatures": list(features),
    }
    (table / "_delta_log" / f"{1:020}.json").write_text(json.dumps({"protocol": protocol}))


@pytest.mark.parametrize("feature", ["geospatial", "catalogManaged", "collations-preview"])
def test_a_table_feature_that_is_not_known_is_refused_with_what_takes_it_away(
    tmp_path: Path, feature: str
) -> None:
    source = tmp_path / "source"
    with_feature(source, "deletionVectors", feature)
    _, config = opened(tmp_path / "store", source)
    with pytest.raises(SourceError) as caught:
        check_source(config)
    assert f"has the table feature {feature}, which tracesieve cannot read" in str(caught.value)
    assert f"`ALTER TABLE delta.`{source}` DROP FEATURE `{feature}``" in str(caught.value)


def test_features_that_are_known_are_not(tmp_path: Path) -> None:
    source = tmp_path / "source"
    with_feature(source, "deletionVectors", "typeWidening", "v2Checkpoint", "vacuumProtocolCheck")
    _, config = opened(tmp_path / "store", source)
    check_source(config)
    assert DeltaTable(str(source)).version() == 1
    assert isinstance(config.table, DeltaTracesTable)


def test_the_page_lists_every_column() -> None:
    names = [name for name, _, _ in columns()]
    assert set(names) == set(MEANING)
    text = (Path(__file__).parents[3] / "docs" / "delta-tables.md").read_text(encoding="utf-8")
    mark = "<!-- Below: python -m streams.sources.delta_traces.reference -->\n\n"
    assert text.endswith(mark + table_reference()), "put the output of the command in the mark below it"
