"""``tracesieve report``: its options, their faults, and the forms it prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support.made_facts import MINUTE, T0, fact
from support.page_reader import Read

from rules.units import DAY_US, iso_time
from store import open_store
from tracesieve.commands.report import command
from tracesieve.errors import OutsideError, TracesieveError

BEFORE = 200 * DAY_US // MINUTE  # so that no trace is dated in the future
BEGIN = T0 - BEFORE * MINUTE
KEYS = ["experiment", "model", "tags.a,b"]


@pytest.fixture
def config(tmp_path: Path) -> str:
    """A store of forty traces of two models, every tenth failed, and no trace table."""
    store = open_store(str(tmp_path / "st"))
    rows = [
        fact(
            f"t{n}", n - BEFORE, error=n % 10 == 0, group_by=KEYS, group=["support", "ab"[n % 2], f"v{n % 4}"]
        )
        for n in range(40)
    ]
    store.table("facts").append([{**row, "stream_id": "s", "batch_id": n} for n, row in enumerate(rows)])
    file = tmp_path / "c.yaml"
    file.write_text(
        "source: {kind: delta_traces, table: traces}\nstore: st\nmlflow: {tracking_uri: 'http://mlflow:5000'}\n"
        f"group_by: {json.dumps(KEYS)}\n"
    )
    return str(file)


def run(config: str, *options: str) -> Result:
    range_ = ["--from", iso_time(BEGIN), "--to", iso_time(BEGIN + 60 * MINUTE)]
    return CliRunner().invoke(command, ["-c", config, *range_, *options])


def document(config: str, *options: str) -> dict[str, Any]:
    found = run(config, *options, "--json")
    assert found.exit_code == 0, found.output
    return dict(json.loads(found.stdout))


def test_groups_by_several_keys(config: str) -> None:
    for options in (["--by", "experiment,model"], ["--by", "experiment", "--by", "model"]):
        groups = document(config, *options)["groups"]
        assert [(row["group"], row["traces"], row["errors"]) for row in groups] == [
            ({"experiment": "support", "model": "a"}, 20, 4),
            ({"experiment": "support", "model": "b"}, 20, 0),
        ]
    assert len(document(config, "--by", "tags.a,b")["groups"]) == 4
    for options in (["--by", "model", "--by", "tags.a,b"], ["--by", "model, tags.a,b,experiment"]):
        assert len(document(config, *options)["groups"]) == 4


def test_every_wrong_key_is_named_with_the_nearest(config: str) -> None:
    found = run(config, "--by", "modle,experiment,x")
    assert isinstance(found.exception, TracesieveError)
    first, second = str(found.exception).split("\n")
    assert first == "--by modle: did you mean model? (experiment, model, tags.a,b)"
    assert second.startswith("--by x: use a key of group_by")


def test_a_condition_picks_the_traces_that_everything_is_about(config: str) -> None:
    found = document(config, "--where", "status = 'ERROR'")
    assert (found["traces"], found["errors"], found["where"]) == (4, 4, "status = 'ERROR'")
    assert sum(row["traces"] for row in found["by_time"]) == 4
    assert sum(row["traces"] for row in found["groups"]) == 4
    assert found["selected"] == {"searched": 40, "gone": 0}
    shown = run(config, "--where", "status = 'ERROR'").output
    assert "where status = 'ERROR'" in shown
    wrong = run(config, "--where", "statsu = 'ERROR'")
    assert isinstance(wrong.exception, TracesieveError) and "did you mean" in str(wrong.exception)


def test_traces_whose_content_is_gone_are_mentioned(config: str) -> None:
    found = run(config, "--where", "tags.x = 'y'")
    assert "of 40 traces the content is gone" in " ".join(found.output.split())


def test_the_page_is_written_whole_or_printed(config: str, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text("old")
    done = run(config, "--html", str(file))
    assert (done.exit_code, done.output) == (0, "")
    printed = run(config, "--html", "-")
    assert file.read_text("utf-8") == printed.stdout
    assert {"svg", "table"} <= {tag for tag, _ in Read(printed.stdout).tags}
    assert sorted(os.listdir(tmp_path)) == ["c.yaml", "report.html", "st"]
    wrong = run(config, "--html", str(tmp_path / "missing" / "x.html"))
    assert isinstance(wrong.exception, OutsideError)
    assert "cannot be written: No such file" in str(wrong.exception)


def test_samples_are_linked_to_the_server_that_gets_tags(config: str) -> None:
    urls = [one["url"] for one in document(config)["error_samples"]]
    assert urls[0] == "http://mlflow:5000/#/experiments/1/traces/t30"


def test_markdown_and_one_form_at_a_time(config: str) -> None:
    assert run(config, "--markdown").stdout.startswith("## Traces from 2026-06-29 08:00 UTC")
    found = run(config, "--markdown", "--json")
    assert isinstance(found.exception, TracesieveError)
    assert "--json, --markdown" in str(found.exception)


def test_pandas_is_not_imported_which_would_take_half_a_second(config: str) -> None:
    failure = {"span_type": "TOOL", "span_name": "s", "error_type": "E", "message": "m 1", "pattern": "p"}
    row = fact("bad", -BEFORE, error=True, failure=json.dumps({**failure, "handled": False}))
    store = open_store(str(Path(config).parent / "st"))
    store.table("facts").append([{**row, "stream_id": "s", "batch_id": 99}])
    code = (
        "import sys; from tracesieve.commands.report import command\n"
        f"command(['-c', {config!r}, '--from', '2026-06-01', '--markdown'], standalone_mode=False)\n"
        "sys.exit('pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "E: m \\*" in done.stdout or "`E: m *`" in done.stdout
