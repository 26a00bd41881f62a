"""A run's followers and its rules, wired as a run wires them, without Spark: reload, repeat, restart."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from prometheus_client import generate_latest
from support.made_facts import MINUTE, T0, batch, fact

import tracesieve.run.rule_files
from rules.loading.packs import load_packs
from store.schemas import TRACES
from streams.sources.delta_traces.source import DeltaTracesSource
from tracesieve.config.settings import Settings
from tracesieve.run.parts import Run, open_run

RULES = """version: 1
rules:
  - {id: errors, window: {size: 2m, by: [experiment]}, fire: error_rate > %s, evidence: {tag: error_case}}
  - {id: bad, when: "status = 'ERROR'", tag: error_case}
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    DeltaTable.create(str(tmp_path / "traces"), TRACES.remove(TRACES.get_field_index("landed_us")))
    (tmp_path / "rules.yaml").write_text(RULES % "0.1")
    source = DeltaTracesSource(table=str(tmp_path / "traces"))
    return Settings(
        source=source,
        store=str(tmp_path / "store"),
        rules=["rules.yaml"],
        base_dir=str(tmp_path),
        group_by=("experiment",),
    )


def opened(settings: Settings, stack: ExitStack, now_us: int = T0) -> Run:
    return open_run(settings, stack, dry_run=False, rebuild=False, now_us=now_us)


def metric(run: Run, name: str) -> float:
    lines = generate_latest(run.metrics.registry()).decode().splitlines()
    return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} "))


def test_a_bad_rule_file_keeps_the_last_good_set_and_a_metric_says_so(
    settings: Settings, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        run = opened(settings, stack)
        first = run.rule_set
        assert metric(run, "tracesieve_rules_reload_success") == 1
        run.reload_rules(T0 + 1)
        assert run.rule_set is first
        (tmp_path / "rules.yaml").write_text((RULES % "0.1").replace("error_rate >", "eror_rate >"))
        run.reload_rules(T0 + 2)
        assert run.rule_set is first
        assert metric(run, "tracesieve_rules_reload_success") == 0
        assert run.store.table("rule_sets").read().height == 1
        (tmp_path / "rules.yaml").write_text(RULES % "0.25")
        run.reload_rules(T0 + 3)
        assert run.rule_set.alert_rules[0].fire.text == "error_rate > 0.25"
        assert metric(run, "tracesieve_rules_reload_success") == 1
        packs = run.store.table("rule_sets").read().sort("loaded_us")
        assert packs["rule_set_hash"].to_list() == [
            first.hash,
            run.rule_set.hash,
        ]  # the next batch takes the last one
        (tmp_path / "rules.yaml").unlink()
        run.reload_rules(T0 + 4)
        assert run.rule_set.hash == packs["rule_set_hash"][-1]
        assert metric(run, "tracesieve_rules_reload_success") == 0


def test_a_rule_file_saved_after_it_was_loaded_at_the_start_is_loaded_next(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files were looked at only after landing had been checked, so that this one was never loaded."""
    file = tmp_path / "rules.yaml"
    saved = iter([RULES % "0.2"])

    def loads_and_is_saved(*arguments: Any) -> Any:
        loaded = load_packs(*arguments)
        file.write_text(next(saved, file.read_text()))
        return loaded

    monkeypatch.setattr(tracesieve.run.rule_files, "load_packs", loads_and_is_saved)
    with ExitStack() as stack:
        run = opened(settings, stack)
        assert run.rule_set.alert_rules[0].fire.text == "error_rate > 0.1"
        run.reload_rules(T0 + 1)
        assert run.rule_set.alert_rules[0].fire.text == "error_rate > 0.2"
        assert metric(run, "tracesieve_rules_reload_success") == 1


def test_a_rule_file_that_is_being_written_is_left_for_the_next_look(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "rules.yaml"
    with ExitStack() as stack:
        run = opened(settings, stack)
        file.write_text(RULES % "0.2")
        grows = iter([RULES % "0.3"])

        def loads_while_it_grows(*arguments: Any) -> Any:
            loaded = load_packs(*arguments)
            file.write_text(next(grows, file.read_text()))
            return loaded

        monkeypatch.setattr(tracesieve.run.rule_files, "load_packs", loads_while_it_grows)
        run.reload_rules(T0 + 1)
        assert run.rule_set.alert_rules[0].fire.text == "error_rate > 0.1"
        run.reload_rules(T0 + 2)
        assert run.rule_set.alert_rules[0].fire.text == "error_rate > 0.3"
        assert run.store.table("rule_sets").read().height == 2


def test_an_edit_that_leaves_time_and_size_as_they_were_is_seen(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    with ExitStack() as stack:
        run = opened(settings, stack)
        before = file.stat()
        file.write_text(RULES % "0.2")
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert file.stat().st_size == before.st_size
        run.reload_rules(T0 + 1)
        assert run.rule_set.alert_rules[0].fire.text == "error_rate > 0.2"


def test_a_rule_file_that_is_new_in_a_folder_and_one_that_cannot_be_read(
    settings: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "more"
    folder.mkdir()
    (folder / "a.yaml").write_text(RULES % "0.1")
    with ExitStack() as stack:
        run = opened(settings.model_copy(update={"rules": ["more"]}), stack)
        (folder / "b.yml").write_text((RULES % "0.2").replace("id: ", "id: other-"))
        run.reload_rules(T0 + 1)
        assert len(run.rule_set.alert_rules) == 2
        (folder / "b.yml").unlink()
        (folder / "b.yml").symlink_to("nowhere")
        run.reload_rules(T0 + 2)
        assert len(run.rule_set.alert_rules) == 2  # the last good set
        assert metric(run, "tracesieve_rules_reload_success") == 0


def test_sem_26_a_pass_with_no_new_trace_and_no_new_minute_writes_nothing_also_in_a_new_run(
    settings: Settings,
) -> None:
    now = T0 + 3 * MINUTE + 17
    versions = []
    for number in range(2):
        with ExitStack() as stack:
            run = opened(settings, stack, now + number)
            if not number:
                planned = Path(run.config.checkpoint) / "offsets" / "0"  # as Spark leaves it of a batch
                planned.parent.mkdir()
                planned.write_text("v1\n{}\n{}")
                batch(
                    run.store,
                    0,
                    [fact(f"b{i}", 1, error=True) for i in range(5)],
                    run.rule_set,
                    stream=run.config.stream_id,
                )
                run.follow(now, now)
                assert run.store.table("verdicts").read().height == 1
            for more in range(3):
                run.follow(now + number + more, now + number + more)
            versions.append({name: table.version() for name, table in run.store.tables().items()})
    assert versions[0] == versions[1]
    assert versions[0]["verdicts"] == 0  # one commit: the verdict, the instant, the cursor


def test_sem_18_a_changed_group_by_is_in_force_with_the_next_batch(settings: Settings) -> None:
    with ExitStack() as stack:
        opened(settings, stack)
    changed = settings.model_copy(update={"group_by": ("experiment", "model")})
    with ExitStack() as stack:
        run = opened(changed, stack, T0 + 1)
        assert run.config.group_by == ("experiment", "model")
        assert run.store.table("rule_sets").read().sort("loaded_us")["group_by"].to_list() == [
            ["experiment"],
            ["experiment", "model"],
        ]
