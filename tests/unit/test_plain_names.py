"""Names are terms of the field: none of the five packages calls anything told, said, wished or heard."""

from __future__ import annotations

import re
import tokenize
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("rules", "store", "streams", "sinks", "tracesieve", "benchmarks")
RIDDLE = re.compile(r"told|said|wish(es|ed)?|spoken|hear(s|d)?", re.IGNORECASE)


def names(file: Path) -> set[str]:
    with tokenize.open(file) as text:
        return {
            token.string for token in tokenize.generate_tokens(text.readline) if token.type == tokenize.NAME
        }


def test_no_identifier_is_a_riddle() -> None:
    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    assert len(files) > 100
    found = {
        str(file.relative_to(ROOT)): riddles
        for file in files
        if (riddles := {name for name in names(file) if any(map(RIDDLE.fullmatch, name.split("_")))})
    }
    assert found == {}
