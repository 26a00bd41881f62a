"""One of several experiments is deleted, restored, renamed, or cannot be read: the others go on."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from support.landing_cases import ids, now_us
from support.mlflow_traces import log_trace
from support.servers import MlflowServer

from rules.units import MINUTE_US
from store import open_store
from streams.errors import PartlyLanded, SourceRefuses, UnknownExperiment
from streams.sources.base import SourcePlace
from streams.sources.mlflow.client import MlflowReader
from streams.sources.mlflow.landing import MlflowLanding
from streams.sources.mlflow.source import MlflowSource

pytestmark = pytest.mark.e2e


def two(server: MlflowServer) -> tuple[MlflowClient, dict[str, str]]:
    """Two new experiments, their ids by name."""
    client, end = MlflowClient(server.uri), uuid.uuid4().hex[:8]
    return client, {name: client.create_experiment(name) for name in (f"one-{end}", f"two-{end}")}


def config_of(server: MlflowServer, *names: str) -> MlflowSource:
    return MlflowSource(tracking_uri=server.uri, experiments=names)


def test_an_experiment_that_was_deleted_before_the_start(mlflow_server: MlflowServer, tmp_path: Path) -> None:
    client, keys = two(mlflow_server)
    (first, second), now = keys, now_us()
    client.delete_experiment(keys[second])
    wanted = log_trace(mlflow_server, keys[first], now - MINUTE_US)
    config, place = config_of(mlflow_server, first, second), SourcePlace(str(tmp_path), str(tmp_path))
    config.check(place)
    landing = MlflowLanding(config, open_store(str(tmp_path)))
    landing.land_through(now)
    assert ids(tmp_path) == [wanted]
    assert list(landing.missing()) == [second]
    assert "was deleted" in landing.missing()[second]
    assert [one.part for one in landing.watermarks()] == [keys[first]]
    probe = config.probe(place, 5)
    assert (probe.details["missing"], len(probe.problems)) == ({second: "deleted"}, 1)
    client.delete_experiment(keys[first])
    with pytest.raises(UnknownExperiment, match=rf"{first} .* was deleted .*; .*{second} .* was deleted"):
        config.check(place)


def test_one_is_deleted_restored_and_renamed_and_another_made_while_it_goes_on(
    mlflow_server: MlflowServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client, keys = two(mlflow_server)
    (first, second), now, late = keys, now_us(), f"late-{uuid.uuid4().hex[:8]}"
    landing = MlflowLanding(config_of(mlflow_server, first, second, late), open_store(str(tmp_path)))
    caplog.set_level(logging.INFO)
    landing.step(now)
    assert list(landing.missing()) == [late]

    def minute_later(*experiments: str) -> list[str]:
        """Traces of these experiments, and a pass of the landing after them."""
        nonlocal now
        now += 2 * MINUTE_US
        logged = [log_trace(mlflow_server, key, now - MINUTE_US) for key in experiments]
        landing.step(now)
        return logged

    client.delete_experiment(keys[second])
    wanted = minute_later(keys[first])
    assert set(landing.missing()) == {late, second}
    assert len(landing.watermarks()) == 2  # nothing more comes from the deleted one: it holds nothing back
    client.restore_experiment(keys[second])
    client.rename_experiment(keys[first], f"{first}-now")
    made = client.create_experiment(late)
    wanted += minute_later(keys[first], keys[second])
    wanted += minute_later(made)
    assert landing.missing() == {}
    assert sorted(ids(tmp_path)) == sorted(wanted)
    text = caplog.text
    assert "was deleted" in text
    assert f"experiment {first} is now called {first}-now" in text

    landing = MlflowLanding(config_of(mlflow_server, first, second), open_store(str(tmp_path)))
    wanted += minute_later(keys[first])
    assert set(ids(tmp_path)) == set(wanted)  # the config still has the old name
    assert f"{first} is called {first}-now now, and is watched" in caplog.text


class Refusing(MlflowReader):
    """A server that refuses to list one experiment, as one without the right to read it."""

    refused = ""

    def listed(self, experiment: str, *args: Any, **more: Any) -> Iterator[list[Any]]:
        if experiment == self.refused:
            raise SourceRefuses("you may not read it")
        return super().listed(experiment, *args, **more)


def test_an_experiment_that_cannot_be_read_holds_up_no_other(
    mlflow_server: MlflowServer, tmp_path: Path
) -> None:
    _, keys = two(mlflow_server)
    (first, second), now = keys, now_us()
    reader = Refusing(mlflow_server.uri)
    reader.refused = keys[first]
    logged = [log_trace(mlflow_server, key, now - MINUTE_US) for key in keys.values()]
    config = config_of(mlflow_server, first, second)
    landing = MlflowLanding(config, open_store(str(tmp_path / "live")), reader=reader)
    landing.step(now)
    assert ids(tmp_path / "live") == [logged[1]]
    assert landing.missing() == {first: "you may not read it"}
    landing.step(now + 1_000_000)  # it waits for its turn, and does not make the pass fail
    reader.refused = ""
    landing.step(now + 5_000_000)
    assert (sorted(ids(tmp_path / "live")), landing.missing()) == (sorted(logged), {})
    reader.refused = keys[first]
    once = MlflowLanding(config, open_store(str(tmp_path / "once")), reader=reader)
    with pytest.raises(PartlyLanded, match=rf"{first}: you may not read it"):
        once.land_through(now)
    assert ids(tmp_path / "once") == [logged[1]]
    reader.refused = ""
    once.land_through(now)
    assert sorted(ids(tmp_path / "once")) == sorted(logged)
