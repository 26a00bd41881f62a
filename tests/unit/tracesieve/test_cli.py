"""The command line's frame: how an error, a bug, a closed pipe and hostile text end."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from rules.errors import RuleError
from sinks.errors import Refused
from store.errors import StoreTaken, TailLost
from streams.errors import UnknownExperiment
from tracesieve import cli, exits
from tracesieve.errors import AnswerIsNoError, ConfigError, OutsideError
from tracesieve.terminal import plain, table


def test_a_bug_ends_in_one_line_that_says_where_the_traceback_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(**_: object) -> None:
        raise KeyError("\x1b[2Jtrace\nof a user")

    monkeypatch.setattr(cli, "cli", broken)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == exits.BUG
    output = capsys.readouterr()
    assert output.out == ""
    (line,) = output.err.splitlines()
    assert "this is a bug" in line
    assert "\x1b" not in line
    file = Path(line.rpartition(" ")[2].rstrip(")"))
    assert "broken" in file.read_text()
    assert file.stat().st_mode & 0o077 == 0
    file.unlink()


ROOT = Path(__file__).parents[3]
ERRORS = [
    (RuleError("wrong", ()), 2),
    (StoreTaken("taken"), 3),
    (TailLost("gone"), 3),
    (UnknownExperiment("which"), 3),
    (Refused("no"), 3),
    (ConfigError([]), 2),
    (AnswerIsNoError("no"), 1),
    (OutsideError("down"), 3),
]


@pytest.mark.parametrize(("error", "code"), ERRORS, ids=lambda value: type(value).__name__)
def test_every_error_of_ours_ends_with_the_code_of_its_class(error: Exception, code: int) -> None:
    assert exits.exit_code_of(error) == code


def test_another_error_is_a_bug_even_with_an_exit_code() -> None:
    class Foreign(Exception):
        exit_code = 3

    assert exits.exit_code_of(Foreign()) is None


def test_every_package_has_one_tree_of_errors_whose_root_the_command_line_knows() -> None:
    roots = set()
    for package in ("rules", "store", "streams", "sinks", "tracesieve"):
        for file in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.ClassDef) and {"Exception", "RuntimeError", "OSError"} & {
                    base.id for base in node.bases if isinstance(base, ast.Name)
                }:
                    roots.add((".".join(file.relative_to(ROOT).with_suffix("").parts), node.name))
    assert roots == set(exits.ERROR_ROOTS.items())


def test_a_reader_that_stops_reading_makes_no_noise() -> None:
    command = f"{sys.executable} -c 'from tracesieve.cli import main; main()' rules schema | true"
    assert subprocess.run(["bash", "-c", command], capture_output=True, text=True).stderr == ""


HEAVY = {"pydantic", "polars", "pyarrow", "deltalake", "numpy", "mlflow", "pyspark", "requests", "yaml"}


def test_help_loads_nothing_heavy() -> None:
    look = (
        "import sys\nfrom tracesieve.cli import COMMANDS, main\n"
        "for name in COMMANDS:\n"
        "    sys.argv[1:] = [name, '--help']\n"
        "    main()\n"
        f"sys.exit(' '.join(sorted({HEAVY} & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("Usage: ") == len(cli.COMMANDS)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain [red]text[/red]", "plain [red]text[/red]"),
        ("\x1b]0;owned\x07", "\\x1b]0;owned\\x07"),
        ("a\r\nb\tc", "a\\r\\nb\\tc"),
        ("abc\u202edef", "abc\\u202edef"),
        ("\x9b31m", "\\x9b31m"),
        ("Grüße 日本", "Grüße 日本"),
        ("\ud800", "\\ud800"),
    ],
)
def test_nothing_that_a_terminal_would_obey_is_printed(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_a_table_fits_80_columns_whatever_is_in_it() -> None:
    from rich.cells import cell_len

    lines = table(
        ["group", "traces", "rule"],
        [["日本語" * 40, "1,000,000", "r" * 200], ["\x1b[31m", "1", "x"]],
        numbers=[1],
    )
    assert max(map(cell_len, lines)) <= 80
    assert "1,000,000" in lines[1]
    assert lines[2].startswith("\\x1b[31m")
