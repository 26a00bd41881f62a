"""Versions of datasets: the same content has the same version; each is read back for ever, whole or not at
all.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.versioned_records import PLACE, T0, person_record, record, taken

from sinks.mlflow.provenance import SOURCES
from store import Store, open_store
from store.dataset_versions import BuildRequests, DatasetVersions, Place
from store.table import Table
from tracesieve.datasets.record import Record, in_order, normalised, parsed_record, version_of
from tracesieve.datasets.versions import found, records, split_name
from tracesieve.errors import TracesieveError

NAME = PLACE.dataset


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def test_sem_42_a_version_is_read_back_as_it_was_whatever_came_later(store: Store) -> None:
    first = [record("one"), record("two", {"deep": [1, None, 2.5]}), person_record("three", answer=4)]
    version = taken(store, *first)
    taken(store, record("one", "other"), at_us=T0 + 1)
    assert records(store, NAME, version) == in_order(first)
    assert [one.outputs for one in records(store, NAME)] == ["other"]
    assert records(open_store(store.path), NAME, version[:5]) == in_order(first)
    (of_person,) = (one for one in records(store, NAME, version) if not one.is_ours)
    assert of_person.origin == {"source_type": "HUMAN", "source_data": {"user": "ada"}}


def test_sem_42_what_changes_by_itself_makes_no_version(store: Store) -> None:
    assert taken(store, record("one"), record("two"))
    before = {name: store.table(name).version() for name in ("dataset_versions", "dataset_records")}
    assert not taken(store, record("two"), record("one"), at_us=T0 + 1)
    assert {name: store.table(name).version() for name in before} == before
    more = {"traces": ["tr-1", "tr-2"], "rule": "slow"}
    assert not taken(store, record("two"), record("one", **more, **{"tracesieve.count": "2"}), at_us=T0 + 2)
    assert {name: store.table(name).version() for name in before} == before


@pytest.mark.parametrize(
    "changed",
    [
        record("one", "another"),
        record("one", expectations={"answer": 4}),
        record("one", reviewed="yes"),
        record("1"),
    ],
    ids=["output", "expectation", "tag", "inputs"],
)
def test_what_an_evaluation_reads_and_what_people_write_makes_one(store: Store, changed: Record) -> None:
    first = taken(store, record("one"), record("two"))
    second = taken(store, changed, record("two"), at_us=T0 + 1)
    assert second not in ("", first)
    again = taken(store, record("one"), record("two"), at_us=T0 + 2)
    assert again == first  # the same content, and the last one again
    assert found(store, NAME).version == first
    assert [one.version for one in DatasetVersions(store).all()] == [first, second, first]


def test_a_text_is_written_once_however_many_versions_name_it(store: Store) -> None:
    for number in range(4):
        taken(store, *(record(f"q{one}") for one in range(number + 1)), at_us=T0 + number)
    rows = store.table("dataset_records").read()
    assert rows.height == rows["record_hash"].n_unique() == 4


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60)
@given(values=st.lists(st.tuples(st.text(), JSON), unique_by=lambda one: one[0]), seed=st.integers())
def test_any_order_of_records_and_of_keys_has_the_same_version(
    values: list[tuple[str, Any]], seed: int
) -> None:
    def mixed(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: mixed(value[key]) for key in random.Random(seed).sample(list(value), len(value))}
        return value

    one = [record(question, answer) for question, answer in values]
    other = [record(question, mixed(answer)) for question, answer in values]
    random.Random(seed).shuffle(other)
    assert version_of(one) == version_of(other)
    assert [each.text() for each in in_order(one)] == [each.text() for each in in_order(other)]
    assert [parsed_record(each.text()) for each in one] == one


HOSTILE = {
    "lone surrogate": "\ud800 and \udfff",
    "right to left": "\u202egnirts\u202c",
    "escape": "\x1b[31mred\x1b]0;title\x07",
    "long": "x" * 5_000_000,
    "nul": "a\x00b",
    "line separators": "a\u2028b\u0085c\r\nd",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_content_is_kept_exactly(store: Store, text: str) -> None:
    one = normalised({text[:100]: text}, [text], {text[:50]: text}, {text[:50]: text})
    assert records(store, NAME, taken(store, one)) == [one]


class Killed(BaseException):
    """The process ends here."""


def test_sem_42_killed_at_every_write_it_is_whole_or_not_there_and_a_repeat_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.dataset_versions._COMMIT_RECORDS", 2)
    rounds = [[record(f"q{n}") for n in range(5)], [record(f"q{n}", "b") for n in range(2, 9)]]
    append, left = Table.append, [0]

    def burning(self: Table, *arguments: Any, **named: Any) -> bool:
        left[0] -= 1
        if left[0] == 0:
            raise Killed
        done = append(self, *arguments, **named)
        left[0] -= 1
        if left[0] == 0:
            raise Killed
        return done

    monkeypatch.setattr(Table, "append", burning)
    kills, at = 0, 0
    while kills == at:
        at += 1
        left[0], path = at, str(tmp_path / str(at))
        for number, each in enumerate(rounds):
            while True:
                try:
                    taken(open_store(path), *each, at_us=T0 + number)
                    break
                except Killed:
                    kills += 1
                    seen = DatasetVersions(open_store(path)).all()
                    assert [one.records for one in seen] in ([], [5], [5, 7])  # before, or after
                    for one in seen:
                        assert len(records(open_store(path), NAME, one.version)) == one.records
        left[0] = 0
        after = DatasetVersions(open_store(path)).all()
        assert [one.version for one in after] == [version_of(each) for each in rounds], f"killed at {at}"
        assert records(open_store(path), NAME) == in_order(rounds[1])
        rows = open_store(path).table("dataset_records").read(["record_hash"])
        assert rows.height == rows["record_hash"].n_unique()
    assert kills > 10


def test_versions_are_named_by_a_unique_beginning_or_latest(store: Store) -> None:
    versions = [taken(store, record(f"q{number}"), at_us=T0 + number) for number in range(40)]
    assert found(store, NAME, "latest").version == versions[-1]
    assert found(store, NAME, versions[3][:8].upper()).version == versions[3]
    alike = next(one for one in "0123456789abcdef" if sum(v.startswith(one) for v in versions) > 1)
    with pytest.raises(TracesieveError, match="several versions begin so"):
        found(store, NAME, alike)
    with pytest.raises(TracesieveError, match=r"has no version 'zz' \(its versions are"):
        found(store, NAME, "zz")
    with pytest.raises(TracesieveError, match=f"'tracesive_error_case': did you mean {NAME}"):
        found(store, "tracesive_error_case")
    assert split_name("a/b@12ab") == ("a/b", "12ab")
    assert split_name("a") == ("a", "latest")
    assert split_name("a@") == ("a", "latest")


def test_a_store_without_versions_says_how_to_take_one(store: Store) -> None:
    with pytest.raises(TracesieveError, match="`tracesieve datasets build` takes one"):
        found(store, NAME)
    assert store.table("dataset_versions").version() == -1


def test_datasets_of_one_name_in_several_experiments_are_kept_apart(store: Store) -> None:
    here, there = taken(store, record("one")), taken(store, record("two"), place=Place(NAME, "2", "sales"))
    with pytest.raises(TracesieveError, match=f"write sales/{NAME}, support/{NAME}"):
        found(store, NAME)
    assert found(store, f"support/{NAME}").version == here
    assert found(store, f"sales/{NAME}").version == there
    taken(store, record("three"), place=Place(NAME, "2", "renamed"), at_us=T0 + 1)
    assert len(records(store, f"renamed/{NAME}", there)) == 1


def test_the_normal_form_knows_no_user_and_not_which_trace_came_first() -> None:
    tags = {SOURCES: json.dumps(["tr-2", "tr-1", "tr-1"]), "mlflow.user": "me", "reviewed": "yes"}
    source = {"source_type": "TRACE", "source_data": {"trace_id": "tr-2"}}
    one = normalised({"q": 1}, "a", None, tags, source)
    assert one.sources == ("tr-1", "tr-2")
    assert one.origin is None
    assert one.own_tags == {"reviewed": "yes"}
    assert normalised({"q": 1}, "a", {}, None, source).sources == ("tr-2",)
    for odd in ("[", "3", "[" * 100_000, '{"a": 1}'):
        assert normalised({"q": 1}, "a", {}, {SOURCES: odd}, source).sources == ()


def test_requests_are_open_until_they_are_done_also_when_the_clock_is_set_back(store: Store) -> None:
    requests = BuildRequests(store)
    assert requests.open() is None
    first = requests.put(["a"], T0)
    second = requests.put(["b"], T0 - 5)
    assert requests.open() == (second, {"a", "b"})
    assert not requests.is_done(first)
    requests.done(second)
    assert requests.is_done(first)
    assert requests.open() is None
    third = requests.put([], T0 - 9)
    assert not requests.is_done(third)
    fourth = requests.put(["a"], T0)
    assert requests.open() == (fourth, frozenset())  # all of them
    assert DatasetVersions(store).all() == []


def test_few_large_records_are_in_a_row_group_of_a_compacted_table(store: Store) -> None:
    import pyarrow.parquet as pq

    from store.maintenance.compact import SMALL_FILES
    from store.maintenance.needs import MaintenanceNeeds
    from store.maintenance.schedule import Maintenance

    for number in range(SMALL_FILES):
        taken(store, *(record(f"{number} {one}") for one in range(20)), at_us=T0 + number)
    done = Maintenance(store, MaintenanceNeeds()).maintain("dataset_records", T0)
    assert any("files became" in line for line in done)
    sizes = []
    delta = store.table("dataset_records").fresh()
    assert delta is not None
    for path in delta.file_uris():
        parquet = pq.ParquetFile(path.removeprefix("file://"))
        sizes += [parquet.metadata.row_group(at).num_rows for at in range(parquet.num_row_groups)]
    assert max(sizes) <= 500
    assert sum(sizes) == 20 * SMALL_FILES
    assert store.table("dataset_records").read(where=pl.col("text").is_null()).is_empty()
