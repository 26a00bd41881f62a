"""The numbers in tests' names and the numbered truths of docs/semantics.md are the same."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Truths that no test's name cites, and why: there are none.
UNCITED: dict[int, str] = {}


def cited(name: str) -> set[int]:
    """The numbers a test's name begins with: ``test_sem_05_22_…`` cites 5 and 22."""
    found = re.match(r"test_sem((?:_\d+)+)_", name)
    return {int(number) for number in found[1].split("_")[1:]} if found else set()


def test_every_number_that_a_test_cites_is_on_the_page_and_every_one_there_is_cited() -> None:
    page = (ROOT / "docs" / "semantics.md").read_text(encoding="utf-8")
    numbers = [int(number) for number in re.findall(r"^### (\d+)\. ", page, re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1))
    by_test: dict[str, set[int]] = {}
    for file in (ROOT / "tests").rglob("test_*.py"):
        for name in re.findall(
            r"^\s*(?:async )?def (test_\w+)", file.read_text(encoding="utf-8"), re.MULTILINE
        ):
            by_test[name] = cited(name)
    unknown = {name: found - set(numbers) for name, found in by_test.items() if found - set(numbers)}
    assert unknown == {}
    assert set(numbers) - set.union(*by_test.values()) == set(UNCITED)


def test_a_name_cites_the_numbers_it_begins_with() -> None:
    assert cited("test_sem_05_22_what") == {5, 22}
    assert cited("test_sem_9_a_bucket_is_0_55_percent_off") == {9}
    assert cited("test_of_something") == set()
