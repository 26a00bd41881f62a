"""Which experiments of a config can be watched: deleted, unknown, renamed, restored ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from store import open_store
from streams.errors import UnknownExperiment
from streams.sources.mlflow.configured import OnServer, configured, landed_as

THERE = [OnServer("1", "support", False), OnServer("2", "billing", True), OnServer("3", "helpdesk", False)]


def test_what_is_there_is_watched_and_what_is_not_is_named_with_the_reason() -> None:
    found = configured(["support", "billing", "suport", "3"], THERE, {})
    assert found.names == {"1": "support", "3": "helpdesk"}
    assert [(one.wanted, one.reason, one.id) for one in found.missing] == [
        ("billing", "deleted", "2"),
        ("suport", "unknown", ""),
    ]
    assert found.problems() == [
        "source.experiments: experiment billing (2) was deleted (`mlflow experiments restore "
        "--experiment-id 2` brings it back); the others are watched",
        "source.experiments: there is no experiment suport; the others are watched",
    ]
    assert len(found.problems(["2"])) == 1
    found.check("http://mlflow")


def test_a_deleted_id_is_deleted_and_a_name_that_was_made_again_wins() -> None:
    assert configured(["2"], THERE, {}).missing[0].reason == "deleted"
    again = [*THERE, OnServer("4", "billing", False)]
    assert configured(["billing"], again, {}).names == {"4": "billing"}


def test_an_experiment_that_was_renamed_is_known_by_its_traces() -> None:
    found = configured(["desk", "support"], THERE, {"desk": "3"})
    assert found.names == {"3": "helpdesk", "1": "support"}
    assert found.missing == []
    assert found.problems() == [
        "source.experiments: desk is called helpdesk now, and is watched: write the new name, or its id"
    ]
    gone = configured(["bills", "support"], THERE, {"bills": "2"})
    assert [(one.reason, one.id) for one in gone.missing] == [("deleted", "2")]


def test_where_none_is_there_the_message_says_why_of_each_and_what_there_is() -> None:
    with pytest.raises(UnknownExperiment) as caught:
        configured(["billing", "suport"], THERE, {}).check("http://mlflow")
    assert str(caught.value) == (
        "source.experiments: http://mlflow: experiment billing (2) was deleted (`mlflow experiments restore "
        "--experiment-id 2` brings it back); there is no experiment suport; "
        "there are: helpdesk (3), support (1)"
    )


def test_the_experiment_whose_traces_landed_last_under_a_name(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    rows = [("7", "desk", 1), ("3", "desk", 2), ("9", "other", 3)]
    store.table("traces").append(
        [
            {"trace_id": f"t{at}", "experiment_id": key, "experiment_name": name, "landed_us": at}
            for key, name, at in rows
        ]
    )
    assert landed_as(store, ["desk", "never"]) == {"desk": "3"}
