"""``datasets evaluate`` against a real MLflow server, with code scorers and a judge at a local endpoint."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from mlflow import MlflowClient
from support.command_line import SPARK, answer, tracesieve
from support.doc_blocks import ROOT, Block, blocks
from support.json_times import wrong_times
from support.judge_server import Judge, judge_server
from support.mlflow_traces import log_trace
from support.servers import MlflowServer
from support.versioned_records import record, taken

from store import open_store
from store.dataset_versions import Place
from store.errors import StoreUnwritable
from store.table import Table
from tracesieve.cli import cli
from tracesieve.commands.datasets.evaluate import command

pytestmark = pytest.mark.e2e

NAME = "tracesieve_error_case"
CODE = """
import mlflow

def cites(outputs):
    print("noise of the user's code")
    return "[1]" in str(outputs)

@mlflow.trace
def answer(q):
    if q == "broken":
        raise ValueError("the application is broken")
    return f"fresh answer to {q} [1]"
"""
CONFIG = """source: {{kind: mlflow, tracking_uri: "{uri}", experiments: ["{experiment}"], settle: 0s}}
mlflow: {{tracking_uri: "{uri}", tags: false}}
datasets: false
{spark}
evaluation:
  scorers:
    polite: {{scorer: Guidelines, arguments: {{guidelines: ["be polite"]}}}}
    cites: "evals.py:cites"
  judge: {{endpoint: "{judge}"}}
  retries: 1
"""


class Gate:
    """A folder that is no git repository, with a config, a store, and versions of one dataset."""

    def __init__(self, folder: Path, server: MlflowServer, experiment: tuple[str, str], judge: Judge) -> None:
        self.folder, self.judge, self.client = folder, judge, MlflowClient(server.uri)
        self.experiment_id = experiment[0]
        self.config = folder / "tracesieve.yaml"
        text = CONFIG.format(uri=server.uri, experiment=experiment[1], judge=judge.uri, spark=SPARK)
        self.config.write_text(text)
        (folder / "evals.py").write_text(CODE)
        self.store = open_store(str(folder / ".tracesieve"))
        self.place = Place(NAME, *experiment)
        self._at_us = 1

    def version(self, **answers: str) -> None:
        self._at_us += 1
        records = [record(question, text) for question, text in answers.items()]
        assert taken(self.store, *records, place=self.place, at_us=self._at_us)

    def evaluate(self, *more: str) -> tuple[int, dict[str, Any]]:
        """The exit code and the document; of an error its message."""
        done = CliRunner().invoke(command, [NAME, "-c", str(self.config), "--json", *more])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            return getattr(done.exception, "exit_code", 70), {"error": str(done.exception)}
        document: dict[str, Any] = json.loads(done.stdout)
        assert wrong_times(document) == []
        return done.exit_code, document

    def runs(self) -> int:
        return len(self.client.search_runs([self.experiment_id]))

    def traces(self) -> list[Any]:
        return list(self.client.search_traces(locations=[self.experiment_id], max_results=500))


@pytest.fixture
def gate(
    tmp_path: Path,
    mlflow_server: MlflowServer,
    experiment: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Gate]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with judge_server() as judge:
        yield Gate(tmp_path, mlflow_server, experiment, judge)


def test_a_regressed_answer_fails_the_gate_and_is_named_however_often_it_is_evaluated(gate: Gate) -> None:
    gate.version(one="kind [1]", two="kind, too [1]")
    done = tracesieve("datasets", "evaluate", NAME, "-c", str(gate.config), "--json")  # a process of its own
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["passed"] is True
    assert (
        set(done.stderr.splitlines())
        - {"noise of the user's code"}
        - {line for line in done.stderr.splitlines() if " scores, " in line}
        == set()
    )
    gate.version(one="kind [1]", two="rude", three="kind [1]")
    gate.judge.no = {"rude"}
    files = {name: gate.folder / name for name in ("junit.xml", "evaluation.md")}
    options = ("--junit", str(files["junit.xml"]), "--markdown", str(files["evaluation.md"]))
    code, found = gate.evaluate(*options)
    assert code == 1
    assert {(one["inputs"], one["scorer"]) for one in found["worse"]} == {("two", "polite"), ("two", "cites")}
    assert (len(found["new"]), found["questions"], found["reused"]) == (1, 2, 1)  # "one" was judged before
    root = ElementTree.parse(files["junit.xml"]).getroot()
    failed = {str(case.get("name")).split(" ", 1)[-1] for case in root.iter("testcase") if len(case)}
    assert failed == {"gate", "two"}
    assert "Passed before, fails now" in files["evaluation.md"].read_text()

    runs, rows, questions = gate.runs(), gate.store.table("evaluations").version(), len(gate.judge.asked)
    again = gate.evaluate()
    assert (again[0], again[1]["repeated"], again[1]["worse"]) == (1, True, found["worse"])
    assert (gate.runs(), gate.store.table("evaluations").version()) == (runs, rows)
    assert len(gate.judge.asked) == questions

    gate.version(one="kind [1]", two="kind again [1]", three="kind [1]")
    code, found = gate.evaluate()
    assert (code, found["worse"]) == (0, [])


def test_what_a_busy_judge_left_open_fails_the_gate_and_is_asked_again_alone(gate: Gate) -> None:
    gate.version(one="kind [1]", two="strange [1]")
    gate.judge.broken = {"strange": "no JSON"}
    code, found = gate.evaluate()
    assert (code, found["reasons"]) == (1, ["polite: 1 have no score, at most 0 may"])
    assert [one["inputs"] for one in found["errors"]] == ["two"]
    run = gate.client.get_run(found["run_id"])
    assert run.data.metrics["polite/mean"] == 1.0  # MLflow's own number hides it
    gate.judge.broken = {}
    code, found = gate.evaluate()
    assert (code, found["questions"], found["reused"]) == (0, 1, 1)


@pytest.mark.parametrize("written", [False, True])
def test_what_ends_around_the_write_is_kept_once_when_it_is_repeated(
    gate: Gate, monkeypatch: pytest.MonkeyPatch, written: bool
) -> None:
    gate.version(one="kind [1]", two="rude")
    append = Table.append

    def cut_short(self: Table, rows: Any, **named: Any) -> bool:
        if self.spec.writer == "evaluate":
            if written:
                append(self, rows, **named)
            raise StoreUnwritable("no room")
        return append(self, rows, **named)

    monkeypatch.setattr(Table, "append", cut_short)
    assert gate.evaluate()[0] == 3
    monkeypatch.setattr(Table, "append", append)
    questions = len(gate.judge.asked)
    code, found = gate.evaluate()
    assert (code, found["repeated"]) == (0, written)
    assert len(gate.judge.asked) == (questions if written else 2 * questions)
    assert gate.store.table("evaluations").read().height == 4
    assert gate.evaluate()[1]["evaluation"] == found["evaluation"]


def test_a_judge_or_a_server_that_is_away_ends_with_3_and_nothing_is_kept(gate: Gate) -> None:
    gate.version(one="kind [1]")
    gate.judge.refuse_first = 100
    code, found = gate.evaluate()
    assert (code, "HTTP 429" in found["error"]) == (3, True)
    assert gate.store.table("evaluations").version() == -1
    gate.judge.refuse_first = 0
    gate.config.write_text(gate.config.read_text().replace(gate.client.tracking_uri, "http://127.0.0.1:9"))
    code, found = gate.evaluate()
    assert (code, "cannot be reached" in found["error"]) == (3, True)


def written(gate: Gate, server: MlflowServer, page: list[Block]) -> None:
    """The files of a page, in the folder of the gate, with its servers in place of those of the page."""
    changes = {
        "http://127.0.0.1:5000": server.uri,
        "https://llm.example.com/v1": gate.judge.uri,
        "support-agent": gate.place.experiment,
    }
    for block in page:
        if block.file:
            text = block.text
            for old, new in changes.items():
                text = text.replace(old, new)
            (gate.folder / block.file).parent.mkdir(exist_ok=True)
            (gate.folder / block.file).write_text(text)


def typed(page: list[Block], command: str) -> list[list[str]]:
    """What a page types after ``tracesieve``, of one command."""
    lines = [line for block in page if block.language == "sh" for line in block.text.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith(f"tracesieve {command}")]


def test_the_page_works_as_it_is_written(
    gate: Gate, mlflow_server: MlflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUDGE_API_KEY", "secret")
    right = {"expected_response": "yes"}
    taken(gate.store, record("a", "kind [1]", expectations=right), record("b", "kind [1]"), place=gate.place)
    page = blocks(ROOT / "docs/evaluate.md")
    written(gate, mlflow_server, page)
    monkeypatch.chdir(gate.folder)
    for line in typed(page, "datasets evaluate"):
        done = CliRunner().invoke(cli, line)
        assert (done.exit_code, line) == (0, line), done.output
    assert (gate.folder / "junit.xml").exists() and (gate.folder / "evaluation.md").exists()
    assert gate.judge.keys == {"Bearer secret": 10}  # safe and polite of each, right of one; stored and fresh


def test_the_script_of_today_hides_what_a_judge_did_not_answer_and_the_gate_names_it(
    gate: Gate, mlflow_server: MlflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second half of docs/patterns/mine-by-filter.md."""
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    monkeypatch.setenv("OPENAI_API_BASE", gate.judge.uri)
    monkeypatch.chdir(gate.folder)
    page = blocks(ROOT / "docs/patterns/mine-by-filter.md")
    written(gate, mlflow_server, page)
    answers = {"one": "kind", "two": "strange"}
    for question, text in answers.items():
        ended_us = time.time_ns() // 1000
        log_trace(mlflow_server, gate.experiment_id, ended_us, inputs={"q": question}, outputs=text, spans=())
    gate.version(**answers)
    gate.judge.broken = {"strange": "no JSON"}
    today = subprocess.run([sys.executable, "evaluate_today.py"], capture_output=True, text=True, timeout=240)
    assert today.returncode == 0, today.stderr
    assert json.loads(today.stdout.splitlines()[-1]) == {"safety/mean": 1.0, "polite/mean": 1.0}
    (line,) = typed(page, "datasets evaluate")
    done = CliRunner().invoke(cli, line)
    document = json.loads(done.stdout)
    assert (done.exit_code, {one["inputs"] for one in document["errors"]}) == (1, {"two"})


def test_sem_05_40_fresh_answers_are_asked_once_a_record_and_no_evaluation_is_traffic(
    gate: Gate, mlflow_server: MlflowServer
) -> None:
    now_us = time.time_ns() // 1000
    for number in range(2):
        log_trace(mlflow_server, gate.experiment_id, now_us - 60_000_000 - number)
    gate.version(one="a", broken="b")
    code, found = gate.evaluate("--predict", "evals.py:answer")
    assert (code, found["answers"], found["compared_with"]) == (0, "evals.py:answer", None)
    assert {one["scorer"]: (one["passed"], one["failed"]) for one in found["scorers"]} == {
        "cites": (1, 1),
        "polite": (1, 1),
    }
    gate.evaluate()
    of_runs = [one for one in gate.traces() if one.info.trace_metadata.get("mlflow.sourceRun")]
    assert (len(of_runs), len(gate.traces())) == (4, 6)
    done = tracesieve("run", "--once", "-c", str(gate.config))
    assert done.returncode == 0, done.stderr
    report = answer("report", "-c", str(gate.config))
    assert (report["traces"], report["freshness"]["left_out"]) == (2, 4)
