"""What moves the counters of ``/metrics``: new traces of whole batches since the start, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from support.made_facts import MINUTE, T0, fact

from rules.rule_set import build_rule_set
from sinks.prometheus.state import MetricsState
from store import Store, open_store
from store.outbox import Outbox
from store.schemas import FACTS
from store.windows import partials
from tracesieve.config.loading import load_settings
from tracesieve.errors import ConfigError
from tracesieve.run.metrics import MetricsFollower

NOW = T0 + 6 * MINUTE


class Served:
    """A process that serves what its follower has counted."""

    def __init__(self, store: Store) -> None:
        self.store, self.state = store, MetricsState(["experiment"])
        self.follower = MetricsFollower(store, self.state, "s", Outbox(store), ["experiment"])

    def step(self, now_us: int = NOW) -> dict[str, float]:
        self.follower.step(build_rule_set([]), now_us, None, [])
        text = generate_latest(self.state.registry()).decode()
        found: dict[str, float] = {}
        for family in text_string_to_metric_families(text):
            for one in family.samples:
                name = one.name.removeprefix("tracesieve_")
                name += "/" + one.labels["state"] if one.name == "tracesieve_traces_total" else ""
                found[name] = one.value
        return found


def batch(store: Store, number: int, facts: list[dict[str, Any]], **counters: int) -> None:
    rows = [{**row, "stream_id": "s", "batch_id": number} for row in facts]
    store.table("facts").append(rows)
    frame = pl.DataFrame(FACTS.empty_table()).vstack(
        store.table("facts").read(where=pl.col("batch_id") == number)
    )
    whole = [pl.lit("s").alias("stream_id"), pl.lit(number, dtype=pl.Int64).alias("batch_id")]
    store.table("windows").append(partials(frame).with_columns(whole))
    store.table("batches").append(
        [{"stream_id": "s", "batch_id": number, "phase": "end", "now_us": NOW, **counters}]
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path))


def test_sem_24_metrics_begin_with_the_first_batch_after_the_start_and_amendments_move_the_gauges_alone(
    store: Store,
) -> None:
    batch(store, 0, [fact("before", 5)])
    served = Served(store)
    assert served.step()["traces_total/OK"] == 0  # of a group that is known
    batch(store, 1, [fact("a", 5), fact("b", 5, error=True)], late=1, duplicates=2)
    found = served.step()
    assert (found["traces_total/OK"], found["traces_total/ERROR"]) == (1, 1)
    assert (found["late_traces_total"], found["duplicate_traces_total"], found["amended_traces_total"]) == (
        1,
        2,
        0,
    )
    assert found["window_error_ratio"] == pytest.approx(1 / 3)
    batch(store, 2, [fact("a", 5, weight=-1), fact("a", 5, error=True, content_hash=2)], amended=1)
    found = served.step()
    assert (found["traces_total/OK"], found["traces_total/ERROR"], found["amended_traces_total"]) == (1, 1, 1)
    assert found["window_error_ratio"] == pytest.approx(2 / 3)
    assert served.step() == found
    assert Served(store).step()["amended_traces_total"] == 0  # a new process is a counter reset


def test_sem_05_24_a_trace_that_is_left_out_or_beaten_is_not_counted(store: Store) -> None:
    served = Served(store)
    batch(
        store,
        0,
        [
            fact("a", 5),
            fact("left", 5, weight=0, state="LEFT_OUT"),
            fact("a", 5, weight=0, state="SEEN", content_hash=2),
        ],
    )
    found = served.step()
    assert {name: value for name, value in found.items() if name.startswith("traces_total")} == {
        "traces_total/OK": 1,
        "traces_total/ERROR": 0,
    }


def test_sem_11_24_a_future_trace_is_counted_when_its_minute_has_come(store: Store) -> None:
    served = Served(store)
    batch(store, 0, [fact("tomorrow", 30)])
    assert served.step()["traces_total/OK"] == 0
    assert served.step(T0 + 31 * MINUTE)["traces_total/OK"] == 1


def test_sem_24_keys_that_give_one_label_name_are_a_mistake_of_the_config(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(
        "source: {kind: delta_traces, table: traces}\nrules: []\ngroup_by: [tags.a.b, experiment, tags.a_b]\n"
    )
    with pytest.raises(ConfigError) as refused:
        load_settings(config)
    message = "group_by: tags.a.b and tags.a_b give one and the same label name, tags_a_b: leave one out"
    assert str(refused.value) == f"{config}:3: {message}"
