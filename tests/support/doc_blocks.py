"""The fenced blocks of the pages: where each stands, its language, the file that it names, and why it is not
run where a page says so.

Languages and who takes them:

====================  =====================================================================================
``sh``                a shell checks the syntax, the command line's own parser the options; run from top to
                      bottom with the rest of the page (``tests/e2e/test_docs_run.py``)
``console``           the same; lines that begin with ``$ `` are typed, the others are what comes back
``python``            compiled, its imports looked up; run with the rest of the page
``yaml``              loaded by the program it is for: a config, a rule file, Prometheus, Alertmanager, …
``promql``            each expression by promtool
``text``              nobody: a drawing, or a shape in which words stand for others; the line before it says
                      so
====================  =====================================================================================

A block whose first line is ``# NAME.yaml`` is that file, for the blocks after it. A block that cannot be run
where tests run has ``*Not run by a test: …*`` below it, for readers to see.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_FENCE = re.compile(r"^(?P<indent>\s*)(?P<fence>`{3,}|~{3,})(?P<language>.*)$")
_NOT_RUN = re.compile(r"\*Not run by a test: (.{10,}?)\*", re.DOTALL)
_FILE = re.compile(r"# ([\w./-]+\.(?:ya?ml|py|sh|service))(?:[ ,;:(].*)?$")
SAYS_DRAWING = re.compile(r"\b(picture|drawing|drawn|rooms|shape)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Block:
    """One fenced block; ``line`` is that of its opening fence, from 1."""

    page: Path
    line: int
    language: str
    text: str
    before: str
    after: str

    @property
    def place(self) -> str:
        """``docs/rules.md:6``, for messages and the names of tests."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def file(self) -> str | None:
        """The name of the file that the block is."""
        found = _FILE.match(self.text.partition("\n")[0])
        return found[1] if found else None

    @property
    def not_run(self) -> str | None:
        """Why it is not run, in the words that stand below it."""
        found = _NOT_RUN.match(self.after)
        return found[1] if found else None

    @property
    def typed(self) -> str:
        """What a person types of it."""
        if self.language != "console":
            return self.text
        return "".join(f"{line[2:]}\n" for line in self.text.splitlines() if line.startswith("$ "))

    def exchanges(self) -> Iterator[tuple[str, str]]:
        """Of a ``console`` block: each command with what comes back."""
        for part in re.split(r"^\$ ", self.text, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield command, output


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page.

    Raises:
        ValueError: a block is not closed.
    """
    lines = page.read_text(encoding="utf-8").splitlines()
    found: list[Block] = []
    at = 0
    while at < len(lines):
        opened = _FENCE.match(lines[at])
        if not opened:
            at += 1
            continue
        begin, indent, at = at, len(opened["indent"]), at + 1
        while at < len(lines) and lines[at].strip() != opened["fence"]:
            at += 1
        if at == len(lines):
            raise ValueError(f"{page}:{begin + 1}: a block that is not closed")
        text = "".join(f"{line[indent:]}\n" for line in lines[begin + 1 : at])
        at += 1
        before = next((line for line in reversed(lines[:begin]) if line.strip()), "")
        after = "\n".join(lines[at : at + 5]).strip()
        found.append(Block(page, begin + 1, opened["language"].strip(), text, before, after))
    return found


def all_blocks() -> list[Block]:
    """Every block of every page."""
    return [block for page in PAGES for block in blocks(page)]
