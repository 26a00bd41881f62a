"""The benchmarks' generated facts: the same at every call; `profile` and `report` over them say what pandas
says of the spans that they were made of.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import f_facts
from benchmarks.made_store import BEGIN_US, END_US, made_facts, made_store
from rules.units import DAY_US
from store import open_store
from tracesieve.analysis.profile import profile
from tracesieve.analysis.report import report


def test_profile_and_report_say_what_pandas_says(tmp_path: Path) -> None:
    folder = made_store(tmp_path, 500)
    store = open_store(str(folder / "store"), create=False)
    document = profile(store, BEGIN_US, END_US, END_US + DAY_US)
    assert document["traces"] == 500
    f_facts._agree("profile", document, f_facts._spans_by_name(folder))
    f_facts._agree("report", report(store, BEGIN_US, END_US, [], END_US + DAY_US), f_facts._traces(folder))
    document["by_span_name"][0]["errors"] += 1
    with pytest.raises(RuntimeError, match="errors: 1 and not 0"):
        f_facts._agree("profile", document, f_facts._spans_by_name(folder))


def test_the_same_facts_are_made_again() -> None:
    first, again = (made_facts(0, 50, 50) for _ in range(2))
    assert first[0].equals(again[0])
    assert first[1].equals(again[1])
