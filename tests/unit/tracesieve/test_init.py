"""``tracesieve init``: every key with its default and what it does, a file that loads, tables that do not
quite fit.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from deltalake import write_deltalake
from support.servers import free_port

from store.schemas import TRACES
from tracesieve.commands.init import command
from tracesieve.config.keys import model_parts
from tracesieve.config.loading import load_settings
from tracesieve.config.settings import OWN_FIELDS, settings_model
from tracesieve.config.template import rendered
from tracesieve.errors import ConfigError

SOURCES = [
    {"kind": "mlflow", "tracking_uri": "http://127.0.0.1:5000", "experiments": ["a: b", "7", "ü #1"]},
    {"kind": "delta_traces", "table": "my traces", "columns": {"trace_id": "id"}},
]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def init(*arguments: str) -> Result:
    return CliRunner().invoke(command, list(arguments))


def table(folder: str, schema: pa.Schema) -> None:
    write_deltalake(folder, schema.empty_table())


def test_every_key_says_what_it_does() -> None:
    silent = [
        f"{part.__name__}.{name}: give it Field(description=...), `tracesieve init` shows it"
        for part in model_parts(settings_model())
        for name, field in part.model_fields.items()
        if not field.description or field.description.startswith("seconds, or")
    ]
    assert not silent, "\n".join(silent)


@pytest.mark.parametrize("source", SOURCES, ids=["mlflow", "delta"])
def test_the_file_loads_and_a_commented_key_shows_its_default(source: dict[str, object]) -> None:
    text = rendered({"source": source, "mlflow": {"tracking_uri": "http://127.0.0.1:5000"}})
    Path("a.yaml").write_text(text)
    bare = load_settings("a.yaml")
    assert bare.source.model_dump(mode="json").items() >= source.items()
    for name in set(settings_model().model_fields) - OWN_FIELDS:
        assert re.search(rf"^(# )?{name}:", text, re.MULTILINE), name
    Path("b.yaml").write_text(re.sub(r"(?m)^# (?=\s*[a-z_]+:)", "", text))  # every commented key taken in
    assert load_settings("b.yaml").model_dump(exclude=OWN_FIELDS) == bare.model_dump(exclude=OWN_FIELDS)


def test_a_table_that_fits_and_a_file_that_is_there() -> None:
    table("traces", TRACES.remove(TRACES.get_field_index("landed_us")))
    done = init("--table", "traces", "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["ready"] is True
    assert load_settings("tracesieve.yaml").source.model_dump() == {
        "kind": "delta_traces",
        "table": "traces",
        "columns": {},
    }
    again = init("--table", "traces")
    assert "--force" in str(again.exception)
    assert init("--table", "traces", "--force").exit_code == 0


def test_other_names_are_mapped_and_what_is_missing_is_named() -> None:
    names = {"trace_id": "request_id", "execution_duration_ms": "latency_ms", "trace_metadata": "metadata"}
    fields = [
        field.with_name(names.get(field.name, field.name))
        for field in TRACES
        if field.name not in ("landed_us", "tags")
    ]
    fields = [pa.field("state", pa.int64()) if field.name == "state" else field for field in fields]
    table("theirs", pa.schema(fields))
    done = init("--table", "theirs", "--json")
    document = json.loads(done.stdout)
    assert document["ready"] is False
    assert {one["name"]: one["problem"] for one in document["columns"] if one["problem"]} == {
        "state": "is int64",
        "tags": "is missing",
    }
    assert document["config"]["source"]["columns"] == {**names, "state": "YOUR_COLUMN", "tags": "YOUR_COLUMN"}
    assert getattr(done.exception, "exit_code", None) == 1
    load_settings("tracesieve.yaml")
    shown = init("--table", "theirs", "--force").output
    assert max(map(len, shown.splitlines())) <= 80, shown


def test_the_table_is_named_from_where_the_config_is() -> None:
    Path("conf").mkdir()
    table("traces", TRACES)
    assert init("-c", "conf/c.yaml", "--table", "traces").exit_code == 0
    assert load_settings("conf/c.yaml").source.table == "../traces"  # type: ignore[union-attr]


@pytest.mark.parametrize("arguments", [(), ("--table", "a", "--tracking-uri", "http://127.0.0.1:1")])
def test_neither_or_both_is_bad_usage(arguments: tuple[str, ...]) -> None:
    assert init(*arguments).exit_code == 2
    assert not Path("tracesieve.yaml").exists()


def test_no_table_there_leaves_no_file() -> None:
    done = init("--table", "none")
    assert getattr(done.exception, "exit_code", None) == 3
    assert not Path("tracesieve.yaml").exists()


def test_an_alertmanager_is_written_and_checked() -> None:
    table("traces", TRACES)
    gone = f"http://127.0.0.1:{free_port()}"
    done = init("--table", "traces", "--alertmanager", gone, "--json")
    assert getattr(done.exception, "exit_code", None) == 3, done.output
    assert f"--alertmanager {gone}: connection refused" in str(done.exception)
    document = json.loads(done.stdout)  # the file is written all the same: the server may only be down
    assert [(one["status"], one["found"]) for one in document["alertmanagers"]] == [
        ("fail", f"{gone}: connection refused")
    ]
    (instance,) = load_settings("tracesieve.yaml").sinks["alerts.alertmanager"]
    assert instance.url == gone


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--table", "traces", "--alertmanager", "localhost:9093"),
            "--alertmanager: an address with http:// or https:// is expected: write http://localhost:9093, "
            "not 'localhost:9093'",
        ),
        (
            ("--tracking-uri", "127.0.0.1:5000"),
            "--tracking-uri: an address with http:// or https:// is expected: write http://127.0.0.1:5000, "
            "not '127.0.0.1:5000'",
        ),
    ],
)
def test_an_address_without_http_is_answered_with_what_to_write(
    arguments: tuple[str, ...], message: str
) -> None:
    table("traces", TRACES)
    done = init(*arguments)
    assert (getattr(done.exception, "exit_code", None), str(done.exception)) == (2, message)
    assert not Path("tracesieve.yaml").exists()


def test_so_is_one_in_the_config_file() -> None:
    Path("c.yaml").write_text(
        "source: {kind: mlflow, tracking_uri: 'localhost:5000', experiments: [a]}\n"
        "mlflow: {tracking_uri: mlflow.example.com}\n"
        "alerts: {alertmanager: ['am:9093', {url: 'http:/am2'}]}\n"
    )
    with pytest.raises(ConfigError) as found:
        load_settings("c.yaml")
    lines = sorted(str(found.value).splitlines())
    assert [line.partition(": ")[2].partition(" is expected: ") for line in lines] == [
        (f"{key}: an address with http:// or https://", " is expected: ", instead)
        for key, instead in (
            ("source.tracking_uri", "write http://localhost:5000, not 'localhost:5000'"),
            (
                "mlflow.tracking_uri",
                "write https://mlflow.example.com (or ./mlflow.example.com for a folder), not "
                "'mlflow.example.com'",
            ),
            ("alerts.alertmanager.0", "write http://am:9093, not 'am:9093'"),
            ("alerts.alertmanager.1.url", "write http://am2, not 'http:/am2'"),
        )
    ]


def test_the_next_steps_begin_with_doctor() -> None:
    table("traces", TRACES)
    done = init("--table", "traces")
    steps = done.output.partition("next:\n")[2].splitlines()
    assert [step.partition("#")[0].strip() for step in steps] == [
        "tracesieve doctor",
        "tracesieve run --once --dry-run",
        "tracesieve run",
    ]
