"""Recall and precision of each detector on the corpus, as the table in docs/redaction.md has them.

``PYTHONPATH=tests python -m support.redaction_scores`` writes the table anew.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from support.redaction_corpus import SIZE, Text, corpus

from rules.redaction import Redactor

PAGE = Path(__file__).parents[2] / "docs" / "redaction.md"
BEGIN, END = "<!-- scores -->\n", "<!-- end of scores -->"
KINDS = ("EMAIL", "PHONE", "CARD", "IBAN", "IP", "SECRET")


@dataclass
class Score:
    """How many values of a kind are in the texts, how many of them were found whole, how many parts were
    found, and how many of those are of such a value.
    """

    values: int = 0
    recalled: int = 0
    parts: int = 0
    right: int = 0

    @property
    def recall(self) -> float:
        return self.recalled / self.values

    @property
    def precision(self) -> float:
        return self.right / self.parts


def scores(redactor: Redactor) -> dict[str, Score]:
    """By kind."""
    found = {kind: Score() for kind in KINDS}
    for text in corpus():
        _add(found, text, redactor)
    return found


def missed(redactor: Redactor) -> list[tuple[str, str, str]]:
    """What was not found, and what was found and is nothing: kind, value or "", text."""
    wrong = []
    for text in corpus():
        one = {kind: Score() for kind in KINDS}
        _add(one, text, redactor)
        wrong += [
            (kind, f"{score.recalled}/{score.values}, {score.right}/{score.parts}", text.text)
            for kind, score in one.items()
            if score.recalled < score.values or score.right < score.parts
        ]
    return wrong


def _add(found: dict[str, Score], text: Text, redactor: Redactor) -> None:
    parts = redactor.found(text.text)
    truths = [
        (kind, text.text.index(value), text.text.index(value) + len(value)) for kind, value in text.truths
    ]
    for kind, start, end in truths:
        found[kind].values += 1
        found[kind].recalled += any(
            one.kind == kind and one.start <= start and one.end >= end for one in parts
        )
    for one in parts:
        found[one.kind].parts += 1
        found[one.kind].right += any(
            one.kind == kind and one.start < end and one.end > start for kind, start, end in truths
        )


def table() -> str:
    """The table of the page."""
    rows = {f"`{kind.lower()}`": score for kind, score in scores(Redactor()).items()}
    rows["`phone`, with `region: DE`"] = scores(Redactor(region="DE"))["PHONE"]
    lines = ["| detector | values | recall | found | precision |", "|---|---|---|---|---|"]
    lines += [
        f"| {name} | {one.values} | {one.recall:.3f} | {one.parts} | {one.precision:.3f} |"
        for name, one in rows.items()
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    text = PAGE.read_text(encoding="utf-8")
    before, after = text.index(BEGIN) + len(BEGIN), text.index(END)
    PAGE.write_text(text[:before] + table() + text[after:], encoding="utf-8")


def of_page() -> str:
    """The table as the page has it."""
    found = re.search(
        re.escape(BEGIN) + "(.*?)" + re.escape(END), PAGE.read_text(encoding="utf-8"), re.DOTALL
    )
    return found[1] if found else ""


__all__ = ["KINDS", "SIZE", "missed", "of_page", "scores", "table"]

if __name__ == "__main__":
    main()
