"""``tracesieve search`` at the terminal: what it lists and counts, and that it always says where."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from deltalake import DeltaTable, write_deltalake
from rich.cells import cell_len
from support.counted_traces import count
from support.json_times import wrong_times

from store import open_store
from store.schemas import TRACES
from tracesieve.commands import search
from tracesieve.exits import exit_code_of

NOW = time.time_ns() // 1000
EVIL = "\x1b[2J\x1b]0;owned\x07[red]日本語 \u202egnp.exe\ud800".encode("utf-8", "replace").decode()


def trace(number: int, **changes: Any) -> dict[str, Any]:
    base = {
        "trace_id": f"tr-{hashlib.md5(str(number).encode()).hexdigest()}",
        "experiment_id": "1",
        "experiment_name": "support",
        "request_time": NOW - 60_000_000 * (number + 1),
        "state": "ERROR" if number % 3 == 0 else "OK",
        "execution_duration_ms": 1000.0 * number,
        "request": f'{{"question": "number {number}"}}',
        "tags": [("environment", "prod" if number % 2 else "dev")],
        "trace_metadata": [("mlflow.trace.user", f"u{number % 2}")],
        "spans": [],
    }
    return {**base, **changes}


def config(folder: Path, rows: list[dict[str, Any]], *names: str) -> str:
    """A store with these traces, counted, and a config of an MLflow server that nobody asks."""
    count(open_store(str(folder / "store")), 1, rows)
    place = folder / "tracesieve.yaml"
    listed = json.dumps(list(names) or ["support"])
    source = f"{{kind: mlflow, tracking_uri: 'http://127.0.0.1:9', experiments: {listed}}}"
    place.write_text(f"source: {source}\nstore: {folder / 'store'}\ngroup_by: [experiment, environment]\n")
    return str(place)


def ran(place: str, *arguments: str) -> Result:
    return CliRunner().invoke(search.command, [*arguments, "-c", place])


def answer(place: str, *arguments: str) -> dict[str, Any]:
    result = ran(place, *arguments, "--json")
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    assert wrong_times(document) == []
    return document


def refused(place: str, *arguments: str) -> str:
    result = ran(place, *arguments)
    assert isinstance(result.exception, Exception)
    assert exit_code_of(result.exception) == 2
    return str(result.exception)


def test_the_newest_are_listed_first_with_or_over_users(tmp_path: Path) -> None:
    place = config(tmp_path, [trace(n) for n in range(6)])
    found = answer(place, "status = 'ERROR' OR user = 'u1'")
    assert (found["searched"], found["matched"], found["content_gone"]) == (6, 4, 0)
    assert [one["duration_ms"] for one in found["traces"]] == [0.0, 1000.0, 3000.0, 5000.0]
    first = found["traces"][0]
    assert first["group"] == {"experiment": "support", "environment": "dev"}
    assert (first["state"], first["request"]) == ("ERROR", '{"question": "number 0"}')
    assert found["experiments"] == [
        {"id": "1", "name": "support", "watched": True, "traces": 6, "matched": 4}
    ]


def test_the_list_has_a_line_a_trace_within_80_columns(tmp_path: Path) -> None:
    place = config(tmp_path, [trace(n) for n in range(30)])
    shown = ran(place, "execution_time_ms >= 0").stdout
    lines = shown.split("\n")
    assert all(cell_len(line) <= 80 for line in lines), shown
    assert "30 of 30 traces match" in shown.replace("\n", " ")
    assert "searched support (1): 30 traces, 30 match" in shown
    heading = next(place for place, line in enumerate(lines) if "ended (UTC)" in line)
    assert lines[heading].split() == ["trace", "ended", "(UTC)", "state", "took", "group", "request"]
    assert len(lines[heading + 1 : lines.index("", heading)]) == 20
    assert '{"question": "n' in lines[heading + 1]
    assert "and 10 older ones" in shown


def test_count_alone_lists_nothing_and_says_where(tmp_path: Path) -> None:
    place = config(tmp_path, [trace(n) for n in range(6)])
    shown = ran(place, "user = 'u1'", "--count").stdout
    assert "3 of 6 traces match" in shown.replace("\n", " ")
    assert "searched support (1): 6 traces, 3 match" in shown
    assert "question" not in shown
    found = answer(place, "user = 'u1'", "--count")
    assert (found["matched"], found["traces"]) == (3, [])
    assert len(answer(place, "user = 'u1'", "--limit", "2")["traces"]) == 2


def several(folder: Path) -> str:
    rows = [
        trace(0),
        trace(1, experiment_id="2", experiment_name="billing"),
        trace(2, experiment_id="3", experiment_name="former"),
    ]
    return config(folder, rows, "support", "2", "silent")


def test_all_experiments_are_searched_and_each_is_named_with_its_numbers(tmp_path: Path) -> None:
    place = several(tmp_path)
    found = answer(place, "user = 'u0'")["experiments"]
    assert [(one["name"], one["id"], one["traces"], one["matched"], one["watched"]) for one in found] == [
        ("billing", "2", 1, 0, True),
        ("former", "3", 1, 1, False),
        ("silent", None, 0, 0, True),
        ("support", "1", 1, 1, True),
    ]
    shown = ran(place, "user = 'u0'").stdout
    assert "searched billing (2): 1 traces, 0 match" in shown
    assert "no longer in source.experiments" in shown
    assert "searched silent: 0 traces, 0 match" in shown


@pytest.mark.parametrize("names", [["billing", "1"], ["2", "support"]])
def test_experiments_are_chosen_by_name_or_id(tmp_path: Path, names: list[str]) -> None:
    options = [part for name in names for part in ("--experiment", name)]
    found = answer(several(tmp_path), "request IS NOT NULL", *options)
    assert {one["experiment"] for one in found["traces"]} == {"billing", "support"}
    assert [one["id"] for one in found["experiments"]] == ["2", "1"]


def test_an_experiment_that_is_not_watched_is_an_error_with_the_nearest_name(tmp_path: Path) -> None:
    message = refused(several(tmp_path), "user = 'u0'", "--experiment", "suport", "--experiment", "99")
    assert "--experiment suport: not among the experiments that are watched; did you mean support?" in message
    assert "--experiment 99" in message
    assert "there are: billing (2), former (3), silent, support (1)" in message


def test_two_experiments_of_one_name_are_both_searched(tmp_path: Path) -> None:
    rows = [trace(0), trace(1, experiment_id="9")]
    found = answer(config(tmp_path, rows), "request IS NOT NULL", "--experiment", "support")
    assert [(one["id"], one["traces"]) for one in found["experiments"]] == [("1", 1), ("9", 1)]


def test_a_renamed_experiment_is_one_and_both_names_mean_it(tmp_path: Path) -> None:
    rows = [trace(1, experiment_name="old"), trace(0, experiment_name="new")]
    place = config(tmp_path, rows, "old")
    for name in ("old", "new", "1"):
        found = answer(place, "request IS NOT NULL", "--experiment", name)
        assert [(one["id"], one["name"], one["matched"]) for one in found["experiments"]] == [("1", "new", 2)]


def test_a_delta_source_is_searched_in_its_own_table(tmp_path: Path) -> None:
    rows = [trace(n, experiment_id=None, experiment_name=None) for n in range(4)]
    config(tmp_path, rows)
    source = tmp_path / "source"
    table = pa.Table.from_pylist(rows, TRACES).drop_columns(["landed_us", "experiment_id", "experiment_name"])
    write_deltalake(str(source), table.rename_columns([f"my_{name}" for name in table.column_names]))
    DeltaTable(str(tmp_path / "store" / "traces")).delete()
    columns = json.dumps({name: f"my_{name}" for name in table.column_names})
    place = tmp_path / "tracesieve.yaml"
    place.write_text(
        f"source: {{kind: delta_traces, table: source, columns: {columns}}}\nstore: store\n"
        "group_by: [experiment, environment]\n"
    )
    found = answer(str(place), "user = 'u1' OR request LIKE '%number 2%'")
    assert (found["searched"], found["matched"]) == (4, 3)
    assert found["experiments"] == [{"id": None, "name": None, "watched": True, "traces": 4, "matched": 3}]
    assert "searched (no name): 4 traces" in ran(str(place), "user = 'u1'").stdout


def test_hostile_content_is_shown_escaped(tmp_path: Path) -> None:
    rows = [
        trace(0, request=EVIL * 50, experiment_name=EVIL, tags=[("environment", EVIL)]),
        trace(1, trace_id=EVIL, request="x" * 5_000_000),
    ]
    place = config(tmp_path, rows)
    shown = ran(place, "request IS NOT NULL").stdout
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert all(cell_len(line) <= 80 for line in shown.split("\n")), shown
    assert len(shown) < 5_000
    found = answer(place, "request IS NOT NULL")["traces"]
    assert all(len(one["request"]) <= 200 for one in found)


def test_a_faulty_condition_is_pointed_at_and_nothing_is_searched(tmp_path: Path) -> None:
    message = refused(config(tmp_path, [trace(0)]), "usr = 'u1' OR statsu = 'OK'")
    assert message.count("^") == 2
    assert "CONDITION: unknown field `usr`" in message


def test_content_that_is_gone_is_said(tmp_path: Path) -> None:
    place = config(tmp_path, [trace(n) for n in range(4)])
    DeltaTable(str(tmp_path / "store" / "traces")).delete()
    found = answer(place, "user = 'u1' AND tags.environment = 'prod'")
    assert (found["matched"], found["content_gone"]) == (0, 2)
    assert "Of 2 more it is not known" in ran(place, "user = 'u1' AND tags.environment = 'prod'").stdout


def test_an_empty_store_says_that_nothing_is_there_yet(tmp_path: Path) -> None:
    place = config(tmp_path, [])
    shown = ran(place, "status = 'ERROR'").stdout
    assert "searched support: 0 traces" in shown
    assert "Not everything has been read yet." in shown


def test_a_dataset_needs_a_name_and_a_server(tmp_path: Path) -> None:
    place = config(tmp_path, [trace(0)])
    assert "--remove goes with --to-dataset" in refused(place, "status = 'OK'", "--remove")
    assert "wants no datasets" in refused(place, "status = 'OK'", "--to-dataset", "gold")
    Path(place).write_text(Path(place).read_text() + "mlflow: {tracking_uri: 'http://127.0.0.1:9'}\n")
    assert "only small letters" in refused(place, "status = 'OK'", "--to-dataset", "Gold set!")


def test_listing_loads_no_spark_and_no_client(tmp_path: Path) -> None:
    place = config(tmp_path, [trace(0)])
    script = (
        "import sys\nfrom click.testing import CliRunner\nfrom tracesieve.commands import search\n"
        f"done = CliRunner().invoke(search.command, [\"user = 'u1'\", '-c', {place!r}])\n"
        "loaded = [name for name in ('pyspark', 'mlflow', 'prometheus_client') if name in sys.modules]\n"
        "print(done.exit_code, loaded)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.stdout == "0 []\n", done.stderr
