"""A report as a page, as Markdown and at the terminal: everything in it, nothing of it obeyed."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from support.made_facts import MINUTE, T0, fact
from support.page_reader import Read

from rules.failures import fingerprint, masked
from store import Store, open_store
from tracesieve.analysis.report import report
from tracesieve.analysis.report_text import lines
from tracesieve.pages.elements import visible
from tracesieve.pages.report_markdown import markdown
from tracesieve.pages.report_page import report_page

EVIL = "<script>alert(1)</script>\x1b[2J\u202e|`x` [a](javascript:b) @all #1 _b_\ud800"
SERVER = "http://mlflow.example"


def failed(trace_id: str, minute: int, message: str) -> dict[str, Any]:
    import pyarrow as pa

    safe = message.encode("utf-8", "replace").decode()
    failure = {
        "span_type": EVIL.encode("utf-8", "replace").decode(),
        "span_name": EVIL.encode("utf-8", "replace").decode(),
        "error_type": "",
        "message": safe,
        "pattern": fingerprint("", masked(pa.array([safe])).to_pylist()[0]),
        "handled": False,
    }
    return fact(trace_id, minute, error=True, failure=json.dumps(failure))


@pytest.fixture
def document(tmp_path: Path) -> dict[str, Any]:
    return of(open_store(str(tmp_path)))


def of(store: Store) -> dict[str, Any]:
    name = EVIL.encode("utf-8", "replace").decode()
    groups = {"group_by": ["experiment", "model"]}
    rows = [fact(f"ok{n}", n % 60, group=["support", name], **groups) for n in range(400)]
    bad = [failed(f"bad{n}", 30, f"{EVIL} of {name} {n}") for n in range(120)]
    bad = [
        {**row, **groups, "group": ["support", "new"], "trace_id": f"{name}{n}"} for n, row in enumerate(bad)
    ]
    spans = json.dumps([["TOOL", name]])
    slow = [
        fact(
            f"slow{n}",
            n,
            duration_us=10**7,
            span_keys=spans,
            span_sums=_sums(10**7),
            **groups,
            group=["", ""],
        )
        for n in range(5)
    ]
    store.table("facts").append(
        [{**row, "stream_id": "s", "batch_id": n} for n, row in enumerate([*rows, *bad, *slow])]
    )
    return report(store, T0, T0 + 60 * MINUTE, [], T0 + 60 * MINUTE, server=SERVER)


def _sums(took_us: int) -> bytes:
    """One span that took so long: total, self and (as self less critical) critical time."""
    kept = 1 << 2 | 1 << 3
    return b"".join(one.to_bytes(8, "little") for one in (1 << 10 | kept, took_us, took_us))


def test_what_is_in_the_document_is_on_the_page(document: dict[str, Any]) -> None:
    assert document["spikes"] and document["error_patterns"] and document["slow_patterns"]
    page = Read(report_page(document))
    texts = "".join(page.texts)
    for words in ("525", "Error patterns", "Slow patterns", "Spikes", "error rate 7", "model=new", "appears"):
        assert words in texts
    links = [names["href"] for tag, names in page.tags if tag == "a"]
    assert links
    assert all(one is not None and one.startswith(f"{SERVER}/#/experiments/1/traces/") for one in links)
    assert [tag for tag, _ in page.tags].count("svg") >= 3
    ids = [names["id"] for _, names in page.tags if "id" in names]
    assert len(ids) == len(set(ids))
    marks = [names for tag, names in page.tags if tag == "rect" and names.get("class") == "mark"]
    assert marks


def test_nothing_of_it_is_obeyed(document: dict[str, Any]) -> None:
    made = report_page(document)
    made.encode("utf-8")
    tags = {tag for tag, _ in Read(made).tags}
    assert tags.isdisjoint({"script", "img", "iframe", "object", "form", "base", "link"})
    assert "\x1b" not in made and "\u202e" not in made
    assert visible("\x1b[2J") in made


def test_markdown_shows_it_as_text(document: dict[str, Any]) -> None:
    made = markdown(document)
    made.encode("utf-8")
    for words in ("**525** traces", "### Spikes", "### Error patterns", "### Slow traces", "model=new"):
        assert words in made
    assert "\x1b" not in made and "\u202e" not in made
    outside = re.sub(r"<code>.*?</code>|(`+).*?\1|(?<=\])\(<[^>]*>\)|</?sub>", "", made)
    assert "<" not in outside and "@" not in outside
    tables = re.split(r"\n\n", made)
    for table in (part for part in tables if part.startswith("| ")):
        assert len({line.count("|") for line in table.strip().split("\n")}) == 1


def test_the_terminal_shows_it_within_80_columns(
    document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = [line for text in lines(document) for line in text.split("\n")]
    assert all(cell_len(line) <= 80 and line.isprintable() for line in shown)
    text = "\n".join(shown)
    for words in ("spike ", "model=new", "failures: 120", "slow: ", "by 5m"):
        assert words in text


def test_an_empty_range_is_a_page_too(tmp_path: Path) -> None:
    document = report(open_store(str(tmp_path)), T0, T0 + 60 * MINUTE, [], T0 + 60 * MINUTE)
    assert "Error patterns" in report_page(document)
    assert "**0** traces" in markdown(document)
    assert any("failures" not in line for line in lines(document))


def test_no_two_blank_lines_follow_one_another(tmp_path: Path) -> None:
    shown = list(lines(report(open_store(str(tmp_path)), T0, T0 + 60 * MINUTE, [], T0 + 60 * MINUTE)))
    assert all(one or other for one, other in pairwise(shown))
