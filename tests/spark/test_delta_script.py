"""A table that is appended to, repeated, merged, updated, deleted from and compacted, read in one batch and
in many.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from support.delta_cases import SHORT, ends, follow, messages, opened, result, run, verdicts
from support.delta_script import Script, play

import streams.query
from store import Store

pytestmark = pytest.mark.spark
SEEDS = [int(seed) for seed in os.environ.get("TRACESIEVE_SEEDS", "11").split(",")]


def outcome(store: Store, only: Any = None) -> tuple[Any, ...]:
    facts, windows = result(store)
    if only is not None:
        limit = max((row[4] for row in facts if only(row[0])), default=0)
        facts, windows = [row for row in facts if only(row[0])], [row for row in windows if row[0] <= limit]
    return facts, windows


@pytest.mark.parametrize("seed", SEEDS)
def test_sem_28_a_random_script_of_writes_in_one_batch_and_in_many(
    spark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    source = tmp_path / "source"
    script = Script(source, seed)
    DeltaTable.create(str(source), SHORT)
    one = run(spark, tmp_path / "one", source)  # its checkpoint begins at the empty table

    def read_some() -> None:
        with monkeypatch.context() as patched:
            patched.setattr(streams.query, "_MOST_BYTES", script.random.choice(["1", "12k", "30k", "256m"]))
            run(spark, tmp_path / "many", source)

    play(script, 16, read_some)
    run(spark, tmp_path / "one", source)
    many = run(spark, tmp_path / "many", source)
    whole = outcome(one)
    assert len(whole[0]) > 15
    assert outcome(many) == whole
    batches = [store.table("batches").read()["batch_id"].max() for store in (one, many)]
    assert batches[1] > batches[0], "the many batches were not many"
    assert ends(one)["deleted"] == script.deleted > 0
    rows = {f"tr-{number}": row for number, row in script.now.items()}
    assert {row[0]: (row[5], row[7]) for row in whole[0] if row[0] in rows} == {
        name: (row["state"], int(row["execution_duration_ms"] * 1000)) for name, row in rows.items()
    }

    def kept(name: str) -> bool:
        return name in rows

    snapshot = run(
        spark, tmp_path / "snapshot", source
    )  # the table as it is now: what was deleted is not in it
    assert outcome(snapshot) == outcome(one, kept)
    for path, store in ((tmp_path / "one", one), (tmp_path / "many", many)):
        follow(store, opened(path, source)[1].stream_id)
    assert verdicts(one) == verdicts(many)
    assert messages(one) == messages(many)
    assert messages(one)
    rebuilt = run(spark, tmp_path / "many", source, rebuild=True)
    assert outcome(rebuilt) == whole
