"""``profile`` and ``report`` over 20,000 and 1,000,000 facts, beside pandas on the same rows.

Measured is the whole command, Python's start included, and what it took of the CPU, on a store that was
filled without Spark; and a fresh process of pandas that reads the same numbers of the same spans and traces
from Parquet. The answers must agree: counts, sums and tokens exactly, quantiles within a histogram bucket.
"""

from __future__ import annotations

import json
import math
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.made_store import BEGIN_US, END_US, made_store
from benchmarks.measure import Options, goal, in_child, median, say, timed
from rules.units import iso_time

SIZES = {20_000: 1.0, 1_000_000: 5.0}  # traces, and the seconds that a command may take
COMMANDS = ("profile", "report")


def run(options: Options) -> dict[str, Any]:
    """The scenario's figures for each size; it breaks where a command and pandas disagree."""
    found: dict[str, Any] = {"goals": {}}
    for size in SIZES if options.size is None else (options.size,):
        folder = made_store(options.folder, size)
        for command in COMMANDS:
            commands, cpu, pandas = [], [], []
            for _ in range(options.repeats):
                before = _children_cpu_s()
                with timed() as timer:
                    document = _tracesieve(folder, command)
                commands.append(timer.seconds)
                cpu.append(_children_cpu_s() - before)
                pandas.append(in_child("f", command, str(folder)))
            _agree(command, document, pandas[0]["numbers"])
            took, beside = median(commands), median([one["seconds"] for one in pandas])
            say(f"{command} over {size:,} facts in {took} s, pandas in {beside} s")
            found[f"{command}_{size}"] = {"seconds": took, "cpu": median(cpu), "pandas": beside}
            if size in SIZES:
                found["goals"][f"{command}_{size}_s"] = goal(took, at_most=SIZES[size])
    return found


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def child(command: str, folder: str) -> dict[str, Any]:
    """The same numbers by pandas, with the seconds from its import on."""
    with timed() as timer:
        numbers = {"profile": _spans_by_name, "report": _traces}[command](Path(folder))
    return {"seconds": round(timer.seconds, 3), "numbers": numbers}


def _spans_by_name(folder: Path) -> dict[str, Any]:
    import numpy as np
    import pandas as pd

    spans = pd.read_parquet(folder / "spans.parquet")
    by_name = spans.groupby("span_name", observed=True)
    sums = by_name.agg(
        calls=("duration_us", "size"),
        errors=("failed", "sum"),
        total_ms=("duration_us", "sum"),
        self_ms=("self_us", "sum"),
        critical_ms=("critical_us", "sum"),
        tokens=("tokens_total", "sum"),
    )
    for name in ("total_ms", "self_ms", "critical_ms"):
        sums[name] /= 1000
    durations = {name: part.to_numpy() for name, part in by_name["duration_us"]}
    for key, q in (("p50_ms", 0.5), ("p95_ms", 0.95)):
        found = {name: np.quantile(part, q, method="inverted_cdf") for name, part in durations.items()}
        sums[key] = pd.Series(found) / 1000
    numbers: dict[str, Any] = json.loads(sums.to_json(orient="index"))
    return numbers


def _traces(folder: Path) -> dict[str, Any]:
    import numpy as np
    import pandas as pd

    columns = ["end_us", "error", "duration_us", "tokens_total", "cost_nusd"]
    files = sorted((folder / "store" / "facts").glob("*.parquet"))
    facts = pd.concat(pd.read_parquet(file, columns=columns) for file in files)
    facts = facts[(facts["end_us"] >= BEGIN_US) & (facts["end_us"] < END_US)]
    took = np.quantile(facts["duration_us"].to_numpy(), [0.5, 0.95], method="inverted_cdf") / 1000
    return {
        "traces": len(facts),
        "errors": int(facts["error"].sum()),
        "tokens": int(facts["tokens_total"].sum()),
        "cost_usd": float(facts["cost_nusd"].sum() / 1e9),
        "p50_ms": float(took[0]),
        "p95_ms": float(took[1]),
    }


def _agree(command: str, document: dict[str, Any], pandas: dict[str, Any]) -> None:
    """Quantiles may be a bucket apart, all else is the same.

    Raises:
        RuntimeError: they differ.
    """
    whole = {"": pandas} if command == "report" else pandas
    rows = (
        {"": document} if command == "report" else {row["span_name"]: row for row in document["by_span_name"]}
    )
    wrong = [] if whole.keys() == rows.keys() else [f"{sorted(rows)} and not {sorted(whole)}"]
    for name in whole.keys() & rows.keys():
        for key, expected in whole[name].items():
            one = rows[name][key]
            one = (one["total"] or 0) if key == "tokens" else one
            slack = 0.0056 if key in ("p50_ms", "p95_ms") else 1e-9
            if not math.isclose(one, expected, rel_tol=slack, abs_tol=1e-6):
                wrong.append(f"{name} {key}: {one} and not {expected}")
    if wrong:
        raise RuntimeError(f"{command} and pandas differ: {'; '.join(wrong[:5])}")


def _tracesieve(folder: Path, command: str) -> dict[str, Any]:
    code = "from tracesieve.cli import main; main()"
    range_ = ["--from", iso_time(BEGIN_US), "--to", iso_time(END_US), "--json"]
    arguments = [sys.executable, "-c", code, command, *range_, "-c", str(folder / "tracesieve.yaml")]
    # As it is for who has installed it: the bytecode of our modules is kept.
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, env=kept)
    if done.returncode:
        raise RuntimeError(f"tracesieve {command} failed: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found
