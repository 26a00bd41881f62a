"""When a run takes versions: once an hour at most, when asked, and not while records wait to be written."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from deltalake import DeltaTable
from support.versioned_records import T0

from rules.units import HOUR_US, MINUTE_US
from sinks.errors import RetryLater
from sinks.mlflow.records import RecordKey, Records, RecordSource
from sinks.mlflow.served import ServedDataset, ServedRecord
from store.dataset_versions import BuildRequests, DatasetVersions
from store.outbox import Outbox, OutboxMessage
from store.schemas import TRACES
from tracesieve.config.loading import load_settings
from tracesieve.datasets.snapshots import Snapshots
from tracesieve.run.parts import Run, open_run
from tracesieve.run.versions import VersionTaker, take_at_end, version_taker

NOWHERE = "http://127.0.0.1:9"


@dataclass
class Served:
    """A server whose records are set by the test, and which fails when asked to."""

    questions: list[str] = field(default_factory=list)
    reads: int = 0
    fails: bool = False

    def dataset(self, dataset_id: str) -> ServedDataset | None:
        if self.fails:
            raise RetryLater("MLflow cannot be reached")
        return ServedDataset(dataset_id, "tracesieve_error_case", 1, ("1",), (tuple(self.questions),))

    def experiment(self, experiment_id: str) -> str:
        return "support"

    def records(self, dataset: ServedDataset) -> tuple[ServedDataset, list[ServedRecord]]:
        self.reads += 1
        return dataset, [ServedRecord({"q": one}, "a", {}, {}, None) for one in self.questions]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    DeltaTable.create(str(tmp_path / "traces"), TRACES.remove(TRACES.get_field_index("landed_us")))
    (tmp_path / "c.yaml").write_text(
        f"source: {{kind: delta_traces, table: traces}}\nmlflow: {{tracking_uri: {NOWHERE}}}\nstore: st\n"
        "metrics: null\n"
    )
    with ExitStack() as stack:
        yield open_run(load_settings(tmp_path / "c.yaml"), stack, dry_run=False, rebuild=False, now_us=T0)


@pytest.fixture
def served(run: Run) -> Served:
    key = RecordKey("tracesieve_error_case", "d-1", "0")
    Records(run.store.table("records")).change({key: {"tr-1": RecordSource("tr-1", 1)}})
    return Served(["one"])


@pytest.fixture
def taker(run: Run, served: Served) -> VersionTaker:
    return VersionTaker(run, Snapshots(run.store, served))  # type: ignore[arg-type]


def counts(run: Run) -> list[int]:
    return [one.records for one in DatasetVersions(run.store).all()]


def test_at_most_one_an_hour_and_none_while_nothing_changes(
    run: Run, taker: VersionTaker, served: Served
) -> None:
    for second in range(3):
        taker.step(T0 + second)
    assert counts(run) == [1]
    served.questions.append("two")
    taker.step(T0 + HOUR_US - MINUTE_US)
    assert counts(run) == [1]
    for hour in (1, 2, 3):
        taker.step(T0 + hour * HOUR_US + 1)
    assert counts(run) == [1, 2]
    assert served.reads == 2  # what has not changed is not read again


def test_after_a_restart_the_hour_goes_on(run: Run, taker: VersionTaker, served: Served) -> None:
    taker.step(T0)
    again = VersionTaker(run, Snapshots(run.store, served))  # type: ignore[arg-type]
    served.questions.append("two")
    again.step(T0 + MINUTE_US)
    assert counts(run) == [1]
    again.step(T0 + HOUR_US)
    assert counts(run) == [1, 2]


def test_it_waits_for_records_that_wait_but_not_for_ever(run: Run, taker: VersionTaker) -> None:
    Outbox(run.store).enqueue([OutboxMessage("mlflow_datasets", "tr-2", {"trace_id": "tr-2"})], T0)
    for minute in (0, 1, 14):
        taker.step(T0 + minute * MINUTE_US)
        assert counts(run) == []
    taker.step(T0 + 15 * MINUTE_US)
    assert counts(run) == [1]


def test_what_is_asked_is_done_once_all_batches_of_that_time_are_followed(
    run: Run, taker: VersionTaker, served: Served
) -> None:
    taker.step(T0)
    served.questions.append("two")
    requests = BuildRequests(run.store)
    asked = requests.put(["tracesieve_error_case"], T0 + HOUR_US)  # by a clock that is ahead
    taker.step(T0 + 1)
    run.followed_us = T0 + 1
    taker.step(T0 + 2)
    assert not requests.is_done(asked)
    run.followed_us = T0 + 2
    served.fails = True
    with pytest.raises(RetryLater):
        taker.step(T0 + 3)
    assert not requests.is_done(asked)
    served.fails = False
    taker.step(T0 + 4)
    assert requests.is_done(asked)
    assert counts(run) == [1, 2]


def test_names_that_are_not_there_end_a_request_all_the_same(run: Run, taker: VersionTaker) -> None:
    taker.step(T0)
    asked = BuildRequests(run.store).put(["nothing"], T0)
    taker.step(T0 + 1)
    run.followed_us = T0 + 2
    taker.step(T0 + 3)
    assert BuildRequests(run.store).is_done(asked)
    assert counts(run) == [1]


def test_run_once_takes_versions_at_its_end_unless_records_wait(
    run: Run, taker: VersionTaker, caplog: pytest.LogCaptureFixture
) -> None:
    asked = BuildRequests(run.store).put([], T0)
    taker.finish(T0)
    assert counts(run) == [1]
    assert BuildRequests(run.store).is_done(asked)
    run.outbox.enqueue([OutboxMessage("mlflow_datasets", "tr-2", {"trace_id": "tr-2"})], T0)
    caplog.set_level(logging.INFO, "tracesieve.run")
    taker.finish(T0 + 1)
    assert "deliveries of records wait: 1" in caplog.text


def test_a_server_that_is_down_does_not_fail_run_once(
    run: Run, served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    take_at_end(run)
    assert "no version of the datasets was taken: MLflow cannot be reached" in caplog.text


def test_a_run_without_datasets_takes_none(run: Run) -> None:
    assert version_taker(run) is not None
    run.dry_run = True
    assert version_taker(run) is None
