"""Completion in a shell: the lines of docs/install.md, the scripts that they print, and what is proposed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tracesieve.cli import COMMANDS

ROOT = Path(__file__).parents[3]
BIN = str(Path(sys.executable).parent)
ENVIRONMENT = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
LINES = dict(
    re.findall(r"^\| (bash|zsh|fish).*? \| .*? \| `(.+?)` \|$", (ROOT / "docs/install.md").read_text(), re.M)
)


def ran(*command: str, **environment: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, env={**ENVIRONMENT, **environment})
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def proposed(*words: str) -> list[str]:
    """What bash would show after these words, the last of them unfinished."""
    text = " ".join(["tracesieve", *words])
    asked = {"COMP_WORDS": text, "COMP_CWORD": str(len(words)), "_TRACESIEVE_COMPLETE": "bash_complete"}
    return [line.partition(",")[2] for line in ran("tracesieve", **asked).splitlines()]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_each_shell_is_one_that_it_accepts(shell: str) -> None:
    assert f"_TRACESIEVE_COMPLETE={shell}_source tracesieve" in LINES[shell]
    script = ran("tracesieve", _TRACESIEVE_COMPLETE=f"{shell}_source")
    assert "tracesieve" in script
    if found := shutil.which(shell):  # bash is everywhere
        subprocess.run([found, "-n"], input=script, text=True, check=True)
    assert shell != "bash" or found


def test_the_line_of_the_page_makes_bash_complete_a_command() -> None:
    words = "COMP_WORDS=(tracesieve out); COMP_CWORD=1; _tracesieve_completion tracesieve"
    assert ran("bash", "-c", f'{LINES["bash"]}\n{words}\necho "${{COMPREPLY[@]}}"') == "outbox\n"


def test_commands_their_parts_and_options_are_proposed() -> None:
    assert set(proposed("")) == set(COMMANDS)
    assert proposed("alerts", "mu") == ["mute", "mutes"]
    assert proposed("undo", "--dry") == ["--dry-run"]
    assert proposed("init", "--alert") == ["--alertmanager"]
