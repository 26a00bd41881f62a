"""Messages that docs/troubleshooting.md quotes are messages of the program, and its commands are there."""

from __future__ import annotations

import ast
import re

import pytest
from support.doc_blocks import ROOT
from support.doc_checks import command_fault, commands, unknown_metrics

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
PACKAGES = ("rules", "store", "streams", "sinks", "tracesieve")
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and "what you see" not in line
]


def template(node: ast.AST) -> str | None:
    """A text of the program with ``…`` for what is filled in, one space for any white space."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        text = re.sub(r"%(?:\.\d)?[sdrf]|\{\w*\}", "…", node.value)
    elif isinstance(node, ast.JoinedStr):
        parts = [
            one.value if isinstance(one, ast.Constant) and isinstance(one.value, str) else "…"
            for one in node.values
        ]
        text = "".join(parts)
    else:
        return None
    return re.sub(r"\s+", " ", text)


@pytest.fixture(scope="module")
def templates() -> list[str]:
    found = []
    for package in PACKAGES:
        for file in (ROOT / package).rglob("*.py"):
            tree = ast.parse(file.read_text(encoding="utf-8"))
            found += [text for node in ast.walk(tree) if (text := template(node))]
    return found


def quoted() -> list[str]:
    """What the first column quotes."""
    cells = [*(row[0] for row in ROWS), PAGE.partition("## It is a bug")[2].partition(":")[0]]
    return [span for cell in cells for span in re.findall(r"`([^`]+)`", cell)]


def is_there(message: str, templates: list[str]) -> bool:
    """Whether one text of the program has the message: its parts between ``…``, in order."""
    parts = [re.escape(part.strip()) for part in message.split("…") if part.strip()]
    looked_for = re.compile(".*".join(parts), re.DOTALL)
    return any(looked_for.search(text) for text in templates)


def test_every_message_that_is_quoted_is_one_of_the_program(templates: list[str]) -> None:
    messages = [one for one in quoted() if not one.startswith("tracesieve_") and one != "alerts list"]
    assert len(messages) >= 15
    assert [one for one in messages if not is_there(one, templates)] == []
    assert not is_there("the store … is in use by nobody", templates)


def test_every_command_is_there_and_every_row_has_one() -> None:
    assert len(ROWS) >= 20
    for row in ROWS:
        assert len(row) == 3, row
        (command,) = re.findall(r"^`([^`]+)`$", row[1])
        if command.startswith("tracesieve"):
            assert [fault for words in commands(command) if (fault := command_fault(words))] == []
    assert list(unknown_metrics(PAGE)) == []
