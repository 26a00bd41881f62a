"""Pages typed into a shell, from top to bottom.

A page gets one bash, a folder of its own and free ports in place of those that it names; nothing else is
changed. What a person does without being asked is done here too: waiting until a server that was started
answers, asking again until what is waited for is there, and ending a ``run`` that goes on.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.doc_blocks import ROOT, Block, blocks
from support.servers import free_port

# Pages whose blocks are run by ``tests/e2e/test_docs_run.py``, in this order.
RUN_PAGES = (
    "docs/install.md",
    "docs/quickstart-evaluate.md",
    "docs/quickstart-alerts.md",
    "docs/quickstart-service.md",
    "docs/operations.md",
    "README.md",
)
# What other tests run: what is typed, and the test, which compares with what the page shows.
RUN_BY_OTHERS = {"make demo HEADLESS=1": "tests/e2e/test_demo.py"}

# Pages that a test of their subject runs, where what they need is: the page, and the test.
PAGES_RUN_BY_OTHERS = {
    "docs/datasets.md": "tests/e2e/test_dataset_push.py",
    "docs/evaluate.md": "tests/e2e/test_evaluate.py",
    "docs/patterns/persist-and-upsert.md": "tests/e2e/test_dataset_push.py",
    "docs/patterns/errors-of-the-last-day.md": "tests/e2e/test_pattern_errors.py",
    "docs/patterns/mine-by-filter.md": "tests/e2e/test_pattern_filter.py",
    "docs/python.md": "tests/unit/tracesieve/notebook/test_notebook.py",
    "docs/patterns/profile-by-span-type.md": "tests/e2e/test_pattern_profile.py",
    "docs/patterns/one-dataset-a-category.md": "tests/e2e/test_pattern_category.py",
}

# Ports that pages name, and how it is seen that the server behind one is up.
PORTS = {"5000": "health", "9090": "-/ready", "9093": "-/ready", "9464": "readyz"}
_STARTS = {
    "mlflow server": "5000",
    "prometheus ": "9090",
    "prometheus-alertmanager": "9093",
    "tracesieve run": "9464",
}
_GOES_ON = re.compile(r"^tracesieve run(?: -c \S+)?(?: *#.*)?$", re.MULTILINE)
_BASH = """
set -o pipefail
trap 'failed=$?' ERR
until_up() {{ for i in $(seq 600); do curl -fs -o /dev/null "$1" && return 0; sleep 0.5; done; return 1; }}
run_until_up_then_end() {{ "$@" & local run=$!; until_up {up} || return 1; kill -TERM $run; wait $run; }}
cd {folder}
"""
PATIENCE_S = 300


class Typist:
    """A bash into which a page is typed; see :func:`typist`."""

    def __init__(self, folder: Path, placeholders: dict[str, str]) -> None:
        self._blocks = folder / "typed"
        self._blocks.mkdir()
        work = folder / "work"
        work.mkdir()
        self._changes = placeholders | {port: str(free_port()) for port in PORTS}
        binaries = str(Path(sys.executable).parent)
        environment = {
            **os.environ,
            "PATH": f"{binaries}:{os.environ['PATH']}",
            "TRACESIEVE_METRICS__LISTEN": f"127.0.0.1:{self._changes['9464']}",
            "TRACESIEVE_SPARK__MASTER": "local[2]",
            "TRACESIEVE_SPARK__MEMORY": "1g",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "COLUMNS": "80",
        }
        self.bash = subprocess.Popen(
            ["bash"], stdin=subprocess.PIPE, text=True, env=environment, start_new_session=True
        )
        self._number = 0
        up = f"http://127.0.0.1:{self._changes['9464']}/readyz"
        self._send(_BASH.format(up=up, folder=work))

    def type_page(self, page: str) -> None:
        """All blocks of a page in order; what is not run is left out.

        Raises:
            AssertionError: a command failed, or what came back has another shape than on the page.
        """
        for block in blocks(ROOT / page):
            if block.not_run or block.typed.strip() in RUN_BY_OTHERS:
                continue
            if block.language == "console":
                for command, output in block.exchanges():
                    self._until_same_shape(block, command, output)
            elif block.language == "sh":
                self._type(block, block.text)
            elif block.language in ("python", "yaml"):
                name = block.file or "typed.py"
                then = "" if block.file else "\npython typed.py"
                if block.file or block.language == "python":
                    self._type(block, f"cat > {name} <<'EOF_OF_BLOCK'\n{block.text}EOF_OF_BLOCK{then}")

    def _until_same_shape(self, block: Block, command: str, output: str) -> None:
        end = time.monotonic() + PATIENCE_S
        while (missing := lacking(output, got := self._type(block, command, may_fail=True))) is not None:
            assert time.monotonic() < end, f"{block.place}: {command}: no {missing!r} in\n{got}"
            time.sleep(2)

    def _type(self, block: Block, script: str, may_fail: bool = False) -> str:
        """What the script printed."""
        for old, new in self._changes.items():
            script = re.sub(rf"\b{old}\b", new, script)
        up = [
            f"until_up http://127.0.0.1:{self._changes[port]}/{PORTS[port]}"
            for words, port in _STARTS.items()
            if re.search(rf"^{words}.*&(?: *#.*)?$", script, re.MULTILINE)
        ]
        script = _GOES_ON.sub(lambda found: f"run_until_up_then_end {found[0]}", script)
        self._number += 1
        typed, printed = self._blocks / f"{self._number}.sh", self._blocks / f"{self._number}.out"
        code = self._blocks / f"{self._number}.code"
        typed.write_text("\n".join([script.rstrip("\n"), *up, ""]))
        self._send(f"failed=0; source {typed} </dev/null >{printed} 2>&1; echo $failed > {code}.new\n")
        self._send(f"mv {code}.new {code}\n")
        end = time.monotonic() + PATIENCE_S
        while not code.exists():
            assert self.bash.poll() is None, f"{block.place}: the shell ended: {printed.read_text()}"
            assert time.monotonic() < end, f"{block.place}: {script}: not done: {printed.read_text()}"
            time.sleep(0.1)
        output = printed.read_text()
        assert may_fail or code.read_text() == "0\n", f"{block.place}:\n{script}\n{output}"
        assert "Traceback" not in output, f"{block.place}:\n{script}\n{output}"
        return output

    def _send(self, script: str) -> None:
        assert self.bash.stdin is not None
        self.bash.stdin.write(script)
        self.bash.stdin.flush()


@contextmanager
def typist(folder: Path, **placeholders: str) -> Iterator[Typist]:
    """A typist in ``folder/work``; ``placeholders`` are words of the page for which it types others. What it
    started is ended with it.
    """
    one = Typist(folder, placeholders)
    try:
        yield one
    finally:
        os.killpg(one.bash.pid, signal.SIGTERM)
        end = time.monotonic() + 40
        while _lives(one.bash.pid) and time.monotonic() < end:
            one.bash.poll()
            time.sleep(0.2)
        if _lives(one.bash.pid):
            os.killpg(one.bash.pid, signal.SIGKILL)
        one.bash.wait()


def _lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def lacking(shown: str, got: str) -> str | None:
    """The first part of a screen on a page that has no like in what came back; ids, numbers and the breaks
    of lines differ, and ``…`` alone on a line stands for anything.
    """
    at, found = 0, _shape(got)
    for part in re.split(r"^\s*…\s*$", shown, flags=re.MULTILINE):
        wanted = _shape(part)
        at = found.find(wanted, at)
        if at < 0:
            return part.strip()
        at += len(wanted)
    return None


def lacking_lines(shown: str, got: str) -> list[str]:
    """The lines of a screen on a page that have no like among those that came back, in whatever order."""
    there = {_shape(line) for line in got.splitlines()}
    return [
        line for line in shown.splitlines() if line.strip() not in ("", "…") and _shape(line) not in there
    ]


def _shape(text: str) -> str:
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    text = re.sub(r"tr-[0-9a-f]{8,}", "tr-", text)
    text = re.sub(r"\d[\d,.]*\d|\d", "#", text)
    return re.sub(r"\s+", " ", text).strip()
