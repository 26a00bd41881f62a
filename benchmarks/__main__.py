"""``python -m benchmarks [NAME…]``: run scenarios, each in a process of its own, and print one JSON line for
each.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

from benchmarks.measure import Options, default_folder, machine, say, timed
from benchmarks.registry import SCENARIOS, chosen


def main(arguments: list[str]) -> int:
    """The exit code: 1 when a scenario broke; a missed goal is in its line and is not a failure."""
    if arguments[:1] == ["--child"]:
        print(json.dumps(import_module(SCENARIOS[arguments[1]]).child(*arguments[2:])))
        return 0
    parser = argparse.ArgumentParser(prog="benchmarks", description="scenarios: " + ", ".join(SCENARIOS))
    parser.add_argument("names", nargs="*", metavar="NAME", help="which (a prefix names several); none: all")
    parser.add_argument("--size", type=int, help="a smaller size, for a smoke run (traces, rules or batches)")
    parser.add_argument("--repeats", type=int, default=3, help="medians are of this many (3)")
    parser.add_argument("--folder", type=Path, default=default_folder(), help="where generated data is kept")
    options = parser.parse_args(arguments)
    try:
        names = chosen(options.names)
    except KeyError as error:
        parser.error(f"no scenario {error.args[0]!r}: there are {', '.join(SCENARIOS)}")
    if len(names) > 1:
        rest = ["--repeats", str(options.repeats), "--folder", str(options.folder)]
        rest += ["--size", str(options.size)] if options.size is not None else []
        return max(
            [
                subprocess.run([sys.executable, "-m", "benchmarks", name, *rest], check=False).returncode
                for name in names
            ]
        )
    return _one(names[0], Options(options.size, options.repeats, options.folder))


def _one(name: str, options: Options) -> int:
    module = import_module(SCENARIOS[name])
    options.folder.mkdir(parents=True, exist_ok=True)
    described = machine()
    say(f"scenario {name}: {(module.__doc__ or '').splitlines()[0]}")
    with timed() as whole:
        found = module.run(options)
    print(
        json.dumps({"scenario": name, **found, "took_s": round(whole.seconds, 1), "machine": described}),
        flush=True,
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
