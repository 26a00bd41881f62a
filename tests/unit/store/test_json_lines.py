"""The log of a table whose texts have separators of lines in them, which JSON does not escape."""

from __future__ import annotations

from pathlib import Path

import pytest

from store import open_store
from store.files import json_lines
from store.tail import Tail

SEPARATORS = ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\r", "\n"]


@pytest.mark.parametrize("separator", SEPARATORS)
def test_a_tail_reads_the_commit_of_a_text_with_a_separator(tmp_path: Path, separator: str) -> None:
    table = open_store(str(tmp_path)).table("quarantine")
    table.create()
    tail = Tail(table)
    table.append([{"trace_id": f"a{separator}b"}])
    assert tail.rows()["trace_id"].to_list() == [f"a{separator}b"]


def test_lines_end_with_a_line_feed_alone() -> None:
    assert json_lines('{"a": "x\u2028y"}\n\n{"b": 1}\r\n') == [{"a": "x\u2028y"}, {"b": 1}]
