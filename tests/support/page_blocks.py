"""The blocks of a page run one after the other in a folder that a test has prepared, against its servers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from support.doc_blocks import ROOT, Block, blocks
from support.doc_run import lacking


def run_page(page: str, folder: Path, changes: Mapping[str, str]) -> list[str]:
    """Run the ``sh``, ``console`` and ``python`` blocks of a page in order; what each command printed.

    ``changes`` are words of the page, such as the URL of its server, for which others are typed.

    Raises:
        AssertionError: a command failed, or what came back has another shape than on the page.
    """
    printed = []
    for block in blocks(ROOT / page):
        if block.not_run:
            continue
        if block.language == "python":
            name = block.file or "typed.py"
            (folder / name).write_text(changed(block.text, changes))
            printed += [] if block.file else [_run(block, f"python {name}", folder)]
        elif block.language == "sh":
            printed.append(_run(block, changed(block.text, changes), folder))
        elif block.language == "console":
            for command, output in block.exchanges():
                printed.append(_run(block, changed(command, changes), folder))
                missing = lacking(changed(output, changes), printed[-1])
                assert missing is None, f"{block.place}: {command}: no {missing!r} in\n{printed[-1]}"
    return printed


def changed(text: str, changes: Mapping[str, str]) -> str:
    for old, new in changes.items():
        text = re.sub(rf"(?<![\w-]){re.escape(old)}(?![\w-])", lambda _, new=new: new, text)  # type: ignore[misc]
    return text


def _run(block: Block, script: str, folder: Path) -> str:
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ASYNC_TRACE_LOGGING": "false",
        "COLUMNS": "80",
    }
    done = subprocess.run(
        ["bash", "-e"],
        input=script,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, f"{block.place}:\n{script}\n{output}"
    assert "Traceback" not in output, f"{block.place}:\n{script}\n{output}"
    return output
