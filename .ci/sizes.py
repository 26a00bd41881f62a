"""Sizes that `make lint` holds: a file has at most 300 lines, a function at most 40 without its docstring.

Exceptions stand in ``pyproject.toml`` under ``[tool.sizes.allow]``: a file, or ``file::function``, and the
reason.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

FILE_LINES, FUNCTION_LINES = 300, 40


def too_long(file: Path) -> Iterator[tuple[str, str]]:
    """What is too long in a file: its name in the list of exceptions, and the finding."""
    text = file.read_text(encoding="utf-8")
    lines = len(text.splitlines())
    if lines > FILE_LINES:
        yield str(file), f"{file}: {lines} lines, at most {FILE_LINES}"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
            length = (node.end_lineno or 0) - first.lineno + 1
            if length > FUNCTION_LINES:
                found = f"{node.name}: {length} lines, at most {FUNCTION_LINES}"
                yield f"{file}::{node.name}", f"{file}:{node.lineno}: {found}"


def main() -> int:
    """Print what is too long and not excepted, and exceptions that nothing needs; the number of both."""
    settings = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    allowed = dict(settings["tool"].get("sizes", {}).get("allow", {}))
    listed = subprocess.run(["git", "ls-files", "*.py"], capture_output=True, text=True, check=True)  # noqa: S607
    found = [pair for name in listed.stdout.split() for pair in too_long(Path(name)) if Path(name).exists()]
    messages = [message for name, message in found if name not in allowed]
    messages += [
        f"pyproject.toml: tool.sizes.allow: nothing needs {name}"
        for name in allowed
        if name not in dict(found)
    ]
    sys.stdout.write(("\n".join(messages) or "Sizes: all files and functions are short enough.") + "\n")
    return min(len(messages), 1)


if __name__ == "__main__":
    sys.exit(main())
