"""From a Delta commit to /metrics at 100 traces a second over 3 minutes, with a real ``tracesieve run`` on a
Delta table.

Arrivals and tokens are those of the Azure LLM inference data set of 2023 where it is there (``BENCH_DATA``,
else ``../shared/data``), sped up to 100 a second; else Poisson arrivals. A commit a second. A trace counts
as visible when the sum of ``tracesieve_traces_total`` covers it. Beside it, in the same process, each commit
is read back with delta-rs as soon as it is written: what the table itself costs.
"""

from __future__ import annotations

import csv
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from deltalake import DeltaTable, write_deltalake

from benchmarks.measure import Options, goal, say
from benchmarks.traces import chunk

RATE = 100
FULL = RATE * 180
WARM_UP = 500
POLL_S = 0.1
CONFIG = """
source: {{kind: delta_traces, table: traces}}
store: store
metrics: {{listen: "127.0.0.1:{port}"}}
"""
Ints = npt.NDArray[np.int64]


def run(options: Options) -> dict[str, Any]:
    """One run of the monitor; ``cold`` is from its start to the first trace on /metrics."""
    size = options.sized(FULL)
    at_s, tokens, source = arrivals(size)
    say(f"{size} traces at {RATE} a second, arrivals: {source}")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tracesieve-bench-")))
        table = folder / "traces"
        write_deltalake(
            str(table), chunk(0, WARM_UP, size, ends_us=_now_us() - np.arange(WARM_UP) * 1000), mode="append"
        )
        begin = time.monotonic()
        monitor = _Monitor(stack, folder)
        monitor.wait_for(WARM_UP, 300)
        cold_s = time.monotonic() - begin
        say(f"first traces on /metrics {cold_s:.1f} s after the start")
        commits, read_back = _produce(table, size, at_s, tokens)
        monitor.wait_for(WARM_UP + size, 120)
        seen = monitor.totals
    return {
        "traces": size,
        "rate": RATE,
        "arrivals": source,
        "commits": len(commits),
        **_figures(commits, _latencies(commits, seen), cold_s, float(np.median(read_back))),
    }


def _figures(
    commits: list[tuple[float, int, int]], latency: npt.NDArray[np.float64], cold_s: float, beside_s: float
) -> dict[str, Any]:
    """Latencies over all and by the minute of the commit, beside a Delta commit that is read back."""
    minute = np.concatenate([np.full(number, int((at - commits[0][0]) // 60)) for at, _, number in commits])
    p50, p95 = (float(np.quantile(latency, q)) for q in (0.5, 0.95))
    return {
        "seconds": {
            "cold_start_to_first_trace": round(cold_s, 1),
            "p50": round(p50, 2),
            "p95": round(p95, 2),
            "worst": round(float(latency.max()), 2),
        },
        "minutes": [
            {
                "p50": round(float(np.quantile(latency[minute == m], 0.5)), 2),
                "p95": round(float(np.quantile(latency[minute == m], 0.95)), 2),
            }
            for m in np.unique(minute)
        ],
        "beside": {"delta_commit_and_read_back_p50_s": round(beside_s, 3)},
        "ratio_p50": round(p50 / beside_s, 1),
        "goals": {"p95_s": goal(p95, at_most=4)},
    }


def arrivals(size: int) -> tuple[npt.NDArray[np.float64], tuple[Ints, Ints], str]:
    """When each trace ends (s after the start, sorted), its tokens, and where both come from."""
    folder = Path(os.environ.get("BENCH_DATA", "../shared/data")) / "azure_llm_2023"
    files = sorted(folder.glob("*.csv"))
    if not files:
        rng = np.random.default_rng(1)
        at = np.cumsum(rng.exponential(1 / RATE, size))
        return at, (rng.integers(100, 4000, size), rng.integers(5, 600, size)), "Poisson (no data set found)"
    rows = []
    for file in files:
        with file.open(newline="", encoding="utf-8") as lines:
            for row in csv.DictReader(lines):
                when = datetime.fromisoformat(row["TIMESTAMP"][:26]).timestamp()
                rows.append((when, int(row["ContextTokens"]), int(row["GeneratedTokens"])))
    rows.sort()
    taken = [rows[i % len(rows)] for i in range(size)]
    at = np.array([when for when, _, _ in taken]) + np.arange(size) // len(rows) * (rows[-1][0] - rows[0][0])
    at = (at - at[0]) * (size / RATE) / (at[-1] - at[0])
    return at, (np.array([a for _, a, _ in taken]), np.array([b for _, _, b in taken])), "azure_llm_2023"


def _produce(
    table: Path, size: int, at_s: Any, tokens: tuple[Ints, Ints]
) -> tuple[list[tuple[float, int, int]], list[float]]:
    """Commit once a second what has arrived: (monotonic time of the commit, traces so far, traces in it) of
    each.
    """
    commits: list[tuple[float, int, int]] = []
    read_back = []
    begin, wall_us, done = time.monotonic(), _now_us(), 0
    while done < size:
        time.sleep(max(0.0, begin + len(commits) + 1 - time.monotonic()))
        through = min(size, int(np.searchsorted(at_s, time.monotonic() - begin, side="right")))
        if through == done:
            continue
        part = slice(done, through)
        rows = chunk(
            WARM_UP + done,
            through - done,
            size,
            wall_us + (at_s[part] * 1e6).astype(np.int64),
            (tokens[0][part], tokens[1][part]),
        )
        before = time.monotonic()
        write_deltalake(str(table), rows, mode="append")
        commits.append((time.monotonic(), through, through - done))
        DeltaTable(str(table)).version()
        read_back.append(time.monotonic() - before)
        done = through
    return commits, read_back


def _latencies(
    commits: list[tuple[float, int, int]], seen: list[tuple[float, int]]
) -> npt.NDArray[np.float64]:
    """For every trace the seconds from its commit to the first scrape that covers it."""
    times, totals = np.array([at for at, _ in seen]), np.array([total for _, total in seen])
    first = times[np.searchsorted(totals, [WARM_UP + through for _, through, _ in commits], side="left")]
    waited = np.maximum(first - np.array([at for at, _, _ in commits]), 0.0)
    return np.repeat(waited, [number for _, _, number in commits])


_COUNTED = ("tracesieve_traces_total{", "tracesieve_backfilled_traces_total ")  # what warms it up is backlog


class _Monitor:
    """A ``tracesieve run`` in ``folder``, and a thread that scrapes it; ended with the stack."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = int(probe.getsockname()[1])
        (folder / "tracesieve.yaml").write_text(CONFIG.format(port=self._port), encoding="utf-8")
        command = [
            sys.executable,
            "-c",
            "from tracesieve.cli import main; main()",
            "run",
            "-c",
            str(folder / "tracesieve.yaml"),
        ]
        self._log = stack.enter_context((folder / "log").open("w+b"))
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log)
        stack.callback(self._end)
        self.totals: list[tuple[float, int]] = [(time.monotonic(), 0)]
        self._stop = threading.Event()
        threading.Thread(target=self._scrape, daemon=True).start()

    def wait_for(self, traces: int, seconds: float) -> None:
        """Wait until that many traces are on /metrics."""
        until = time.monotonic() + seconds
        while self.totals[-1][1] < traces:
            if self._process.poll() is not None or time.monotonic() > until:
                self._log.seek(0)
                raise RuntimeError(
                    f"{self.totals[-1][1]} of {traces} traces on /metrics: "
                    f"{self._log.read()[-2000:].decode()}"
                )
            time.sleep(POLL_S)

    def _scrape(self) -> None:
        while not self._stop.wait(POLL_S):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=10) as answer:
                    lines = answer.read().decode().splitlines()
            except OSError:
                continue  # it has not started yet
            total = sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(_COUNTED))
            self.totals.append((time.monotonic(), int(total)))

    def _end(self) -> None:
        self._stop.set()
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def _now_us() -> int:
    return time.time_ns() // 1000
