"""``tracesieve datasets list|show|diff|get`` over a store: no server, no Java, hostile content harmless."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner, Result
from support.versioned_records import PLACE, T0, person_record, record, taken

from sinks.mlflow.expectations import EXPECTATIONS, tag_of
from sinks.mlflow.origin import LAST_SEEN, PATTERN
from sinks.mlflow.records import GONE, RecordKey, Records, RecordSource, marked
from store import Store, open_store
from store.dataset_versions import Place
from tracesieve.cli import cli
from tracesieve.datasets.beginning import beginning
from tracesieve.datasets.record import in_order, parsed_record

NAME = PLACE.dataset
NASTY = "\x1b[31mred\u202egnirts\ud800\n" * 3


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "c.yaml").write_text("source: {kind: delta_traces, table: traces}\nstore: st\n")
    return open_store(str(tmp_path / "st"))


def datasets(store: Store, *arguments: str) -> Result:
    config = Path(store.path).parent / "c.yaml"
    return CliRunner().invoke(cli, ["datasets", arguments[0], "-c", str(config), *arguments[1:]])


def document(store: Store, *arguments: str) -> dict[str, Any]:
    done = datasets(store, *arguments, "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def narrow(text: str) -> None:
    """It fits 80 columns, and holds nothing that a terminal obeys."""
    from rich.cells import cell_len

    assert [line for line in text.splitlines() if cell_len(line) > 80] == []
    assert [one for one in text if one != "\n" and not one.isprintable()] == []


def test_list_has_the_last_version_of_each(store: Store) -> None:
    taken(store, record("one", traces=["a", "b"]))
    last = taken(store, record("one", traces=["a", "b"]), record("two", traces=["b", "c"]), at_us=T0 + 1)
    other = taken(
        store,
        record("three"),
        place=Place("tracesieve_slow_response", "1", "support"),
        coverage={"share": 0.5, "at_least": 0.31},
    )
    rows = document(store, "list")["datasets"]
    assert [(row["name"], row["version"], row["records"], row["sources"]) for row in rows] == [
        (NAME, last, 2, 3),
        ("tracesieve_slow_response", other, 1, 1),
    ]
    assert rows[0]["versions"] == 2
    assert rows[1]["coverage"] == 0.5
    shown = datasets(store, "list").output
    narrow(shown)
    assert last[:12] in shown
    assert "50% >31%" in shown


def test_list_of_datasets_without_a_version_says_how_to_take_one(store: Store) -> None:
    assert "no datasets yet" in datasets(store, "list").output
    assert document(store, "list") == {"datasets": []}
    key = RecordKey(NAME, "d-1", "0" * 64)
    Records(store.table("records")).change({key: {"tr-1": RecordSource("tr-1", 1)}})
    (row,) = document(store, "list")["datasets"]
    assert (row["name"], row["version"], row["records"], row["sources"]) == (NAME, None, 1, 1)
    assert "`tracesieve datasets build` takes one" in datasets(store, "list").output
    taken(store, record("one"))
    assert len(document(store, "list")["datasets"]) == 1


def test_datasets_of_one_name_are_listed_with_their_experiments(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    taken(store, record("one"))
    taken(store, record("one"), place=Place(NAME, "2", "sales"))
    shown = datasets(store, "list").output
    assert f"support/{NAME}" in shown
    assert f"sales/{NAME}" in shown
    assert f"write sales/{NAME}, support/{NAME}" in str(datasets(store, "show", NAME).exception)
    assert document(store, "show", f"sales/{NAME}")["experiment"] == "sales"


def test_show_counts_records_by_what_their_tags_say_and_what_people_did(store: Store) -> None:
    first = taken(store, record("one"))
    version = taken(
        store,
        record("one", rule="slow", reviewed="yes", **{LAST_SEEN: "2026-01-01", PATTERN: "no *", "a": ""}),
        record("two", expectations={"answer": 4}, traces=["x", "y"]),
        person_record("three"),
        at_us=T0 + 1,
    )
    found = document(store, "show", f"{NAME}@{version[:6]}")
    assert found["tags"]["tracesieve.rules"] == {"slow@abc": 1, "tool-errors@abc": 1}
    assert found["tags"]["tracesieve.reason"] == {"a tool failed": 2}
    assert found["tags"]["reviewed"] == {"yes": 1}
    assert found["tags"][PATTERN] == {"no *": 1}
    assert not {LAST_SEEN, "a"} & found["tags"].keys()
    assert found["people"] == {"added": 1, "expectations": 1, "tags": 1}
    assert [one["version"] for one in found["history"]] == [version, first]
    assert {one["inputs"] for one in found["items"]} == {f'{{"q": "{q}"}}' for q in ("one", "two", "three")}
    shown = datasets(store, "show", NAME).output
    narrow(shown)
    assert "3 records from 3 traces" in shown
    assert "1 added by people; 1 with expectations; 1 with tags of people" in shown.replace("\n", " ")


def test_diff_names_what_changed_and_whose_change_it_is(store: Store) -> None:
    a = taken(store, record("kept"), record("gone"), record("edited"), record("answered"), record("deleted"))
    deleted = RecordKey(NAME, "d-1", record("deleted").key)
    Records(store.table("records")).change({deleted: {**marked(GONE)}})
    edited = record("edited", "wrong", expectations={"answer": 4}, reviewed="yes")
    theirs = parsed_record(edited.text().replace('"outputs":"wrong"', '"outputs":"right"'))
    b = taken(
        store,
        record("kept", traces=["tr-1", "tr-2"]),
        theirs,
        record("answered", "anew"),
        record("new"),
        person_record("by hand"),
        at_us=T0 + 1,
    )
    found = document(store, "diff", f"{NAME}@{a}", f"@{b[:8]}")
    counts = {name: found[name] for name in ("added", "removed", "changed", "same", "noted")}
    assert counts == {"added": 2, "removed": 2, "changed": 2, "same": 1, "noted": 1}
    by = {json.loads(row["inputs"])["q"]: (row["change"], row["by"]) for row in found["changes"]}
    assert by == {
        "gone": ("removed", "tracesieve"),
        "deleted": ("removed", "person"),
        "edited": ("changed", "person"),
        "answered": ("changed", "tracesieve"),
        "new": ("added", "tracesieve"),
        "by hand": ("added", "person"),
    }
    parts = next(row["parts"] for row in found["changes"] if "edited" in row["inputs"])
    assert [(one["part"], one["key"], one["by"], one["before"], one["after"]) for one in parts] == [
        ("outputs", None, "person", '"a"', '"right"'),
        ("expectations", "answer", "person", None, "4"),
        ("tags", "reviewed", "person", None, '"yes"'),
    ]
    assert document(store, "diff", NAME) == found  # the last with the one before
    shown = datasets(store, "diff", NAME).output
    narrow(shown)
    assert "2 added, 2 removed, 2 changed, 1 same" in shown.replace("\n", " ")
    back = document(store, "diff", f"{NAME}@{b}", f"{NAME}@{a}")
    assert (back["added"], back["removed"]) == (2, 2)


def test_expectations_of_the_config_are_no_edit_of_a_person(store: Store) -> None:
    old, new = ({"guidelines": [text], "answer": text} for text in ("a", "b"))
    noted = {EXPECTATIONS: tag_of({"guidelines": ["b"]})[EXPECTATIONS]}
    before = {EXPECTATIONS: tag_of({"guidelines": ["a"]})[EXPECTATIONS]}
    config = record("c", expectations={"guidelines": ["b"]}, **noted)
    taken(store, record("p", expectations=old, **before), record("c"))
    taken(store, record("p", expectations=new, **noted), config, at_us=T0 + 1)
    shown = document(store, "show", NAME)
    assert shown["people"] == {"expectations": 1}
    assert EXPECTATIONS not in shown["tags"]
    changes = document(store, "diff", NAME)["changes"]
    parts = {(row["by"], part["key"]): part["by"] for row in changes for part in row["parts"]}
    assert parts == {
        ("person", "answer"): "person",
        ("person", "guidelines"): "tracesieve",
        ("tracesieve", "guidelines"): "tracesieve",
    }


def test_diff_of_the_first_version_and_of_equal_ones(store: Store) -> None:
    taken(store, record("one"))
    assert "is the first version" in str(datasets(store, "diff", NAME).exception)
    assert document(store, "diff", NAME, NAME)["changes"] == []


def test_get_writes_the_records_exactly_and_the_same_bytes_each_time(store: Store, tmp_path: Path) -> None:
    records = [record("one", {"deep": [1, None]}), record(NASTY), person_record("three", answer=4)]
    version = taken(store, *records)
    taken(store, record("later"), at_us=T0 + 1)
    file = tmp_path / "v.jsonl"
    for _ in range(2):
        assert datasets(store, "get", NAME, "--version", version[:9], "--to", str(file)).exit_code == 0
        assert [parsed_record(line) for line in file.read_text().splitlines()] == in_order(records)
    assert datasets(store, "get", f"{NAME}@{version}", "--to", "-").stdout == file.read_text()
    parquet = tmp_path / "v.PARQUET"
    assert datasets(store, "get", f"{NAME}@{version}", "--to", str(parquet)).exit_code == 0
    flat = pd.read_parquet(parquet)
    assert [json.loads(text) for text in flat["inputs"]] == [one.inputs for one in in_order(records)]
    assert [tuple(one) for one in flat["sources"]] == [one.sources for one in in_order(records)]
    assert flat["record"].to_list() == [one.key for one in in_order(records)]
    assert sorted(os.listdir(tmp_path)) == ["c.yaml", "st", "v.PARQUET", "v.jsonl"]


def test_pandas_reads_json_lines_as_mlflow_takes_them(store: Store, tmp_path: Path) -> None:
    taken(store, one := record("one", {"a": 1}, expectations={"answer": 4}))
    assert datasets(store, "get", NAME, "--to", str(tmp_path / "v.jsonl")).exit_code == 0
    (row,) = pd.read_json(tmp_path / "v.jsonl", lines=True).to_dict("records")
    assert (row["inputs"], row["outputs"], row["expectations"]) == (one.inputs, {"a": 1}, {"answer": 4})


def test_get_of_an_empty_version_is_an_empty_file(store: Store, tmp_path: Path) -> None:
    taken(store)
    for name in ("v.jsonl", "v.parquet"):
        assert datasets(store, "get", NAME, "--to", str(tmp_path / name)).exit_code == 0
    assert (tmp_path / "v.jsonl").read_text() == ""
    assert len(pd.read_parquet(tmp_path / "v.parquet")) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["show", "tracesieve_eror_case"], 2, f"did you mean {NAME}?"),
        (["show", f"{NAME}@ffff"], 2, "has no version 'ffff'"),
        (["get", NAME, "--to", "v.csv"], 2, "ends in .jsonl or .parquet"),
        (["get", f"{NAME}@latest", "--version", "a", "--to", "v.jsonl"], 2, "not beside"),
        (["get", NAME, "--to", "no/such/folder/v.jsonl"], 3, "cannot be written"),
        (["diff", NAME, "other@latest"], 2, "no version of a dataset 'other'"),
    ],
)
def test_mistakes_are_one_message(store: Store, arguments: list[str], code: int, words: str) -> None:
    taken(store, record("one"))
    from tracesieve.exits import exit_code_of

    done = datasets(store, *arguments)
    assert done.exception is not None
    assert exit_code_of(done.exception) == code  # type: ignore[arg-type]
    assert words in str(done.exception)


def test_hostile_content_is_shown_harmless_and_bounded(store: Store) -> None:
    hostile = person_record(NASTY + "x" * 5_000_000, **{NASTY: NASTY})
    first = taken(store, record("one"), hostile)
    tagged = record(NASTY, NASTY * 1000, expectations={NASTY: [NASTY] * 1000}, **{NASTY: NASTY})
    taken(store, record("one"), tagged, at_us=T0 + 1, place=PLACE)
    for arguments in (["list"], ["show", NAME], ["show", f"{NAME}@{first}"], ["diff", NAME]):
        shown = datasets(store, *arguments)
        assert shown.exit_code == 0
        narrow(shown.output)
        assert len(shown.output) < 20_000
        assert len(datasets(store, *arguments, "--json").stdout) < 50_000


def test_the_beginning_of_a_value_says_that_it_was_cut() -> None:
    assert beginning({"b": 1, "a": [None, "é"]}) == '{"a": [null, "é"], "b": 1}'
    for value in ("x" * 5_000_000, list(range(100_000)), {str(one): one for one in range(10_000)}):
        assert (len(beginning(value)), beginning(value)[-1]) == (200, "…")
    deep: Any = 1
    for _ in range(900):
        deep = [deep]
    assert beginning(deep) == "[" * 199 + "…"
