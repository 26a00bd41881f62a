"""Tables within the width there is, and names of groups that nobody can take for one another."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tracesieve.terminal import columns, group_names, plain, table

LONG = "support-agent-" + "x" * 60


def test_a_long_text_is_cut_in_its_middle() -> None:
    _, row = table(["group", "traces"], [[LONG + "/prod", "7"]], numbers=[1])
    assert row.startswith("support-agent-xx") and row.endswith("xx/prod       7") and "x…x" in row
    assert cell_len(row) == 80
    assert table(["group"], [[LONG]])[1] == LONG  # it fits


def test_texts_that_would_look_the_same_when_cut_are_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    texts = [LONG + one + "y" * 60 for one in ("1", "2")]
    lines = table(["group", "n"], [*([text, 7] for text in texts), ["z" * 99, 8]], numbers=[1])
    assert all(len(line) <= 40 for line in lines)
    joined = "".join(line.split("  ")[0] for line in lines[1:])
    assert all(text in joined for text in texts)  # whole, over several lines
    assert sum(line.endswith(" 7") for line in lines) == 2 and "…" in lines[-1]


def test_where_numbers_alone_are_too_wide_rows_become_paragraphs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    lines = table(["group", "traces", "tokens"], [["a", "1" * 15, "2" * 15]], numbers=[1, 2])
    assert lines == ["group a, traces", "  111111111111111, tokens", "  222222222222222"]


@pytest.mark.parametrize(
    ("given", "wide"), [("120", 120), ("41", 41), ("3", 20), ("0", 80), ("", 80), ("x", 80), ("-5", 80)]
)
def test_columns_sets_the_width_in_a_pipe_too(given: str, wide: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", given)
    assert not sys.stdout.isatty()
    assert columns() == wide


def test_names_are_plain_unless_they_would_look_alike() -> None:
    def names(*groups: dict[str, str]) -> list[str]:
        return group_names(list(groups), taken=["all"])

    assert names({"model": "openai/gpt-4o"}) == ["openai/gpt-4o"]
    assert names({"a": "x/y", "b": "z"}, {"a": "x", "b": "y/z"}) == ['a="x/y"/b="z"', 'a="x"/b="y/z"']
    assert names({"a": "x"}, {"b": "x"}) == ['a="x"', 'b="x"']
    assert names({"a": "all"}, {"a": ""}, {"a": " "}) == ['a="all"', 'a=""', r'a="\x20"']
    assert names({"a": "é"}, {"a": "e\u0301"}) == [r'a="\xe9"', r'a="e\u0301"']
    assert names({"a": "x\ny"}, {"a": "x\\ny"}) == [r'a="x\ny"', r'a="x\\ny"']
    assert names({"a": "same"}, {"a": "same"}) == ["same", "same"]


PIECES = st.text(st.sampled_from('ab/"=\\n\n \u00a0é日\u202e…'), max_size=6)
VALUES = st.builds(lambda head, number, tail: head + "x" * number + tail, PIECES, st.integers(0, 150), PIECES)


@given(
    st.lists(
        st.dictionaries(st.sampled_from("pq"), VALUES, min_size=1),
        unique_by=lambda group: tuple(group.items()),
        min_size=1,
        max_size=8,
    ),
    st.integers(20, 100),
)
def test_no_two_groups_print_the_same(groups: list[dict[str, Any]], wide: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(wide))
        names = group_names(groups, taken=["all"])
        assert len({*names, "all"}) == len(groups) + 1
        lines = table(["group", "n"], [[name, 1] for name in names], numbers=[1])
        assert all(cell_len(line) <= wide for line in lines)
        starts = [number for number, line in enumerate(lines) if line.endswith("  1")]
        assert len(starts) == len(groups)
        rows = [tuple(lines[low:high]) for low, high in zip(starts, [*starts[1:], len(lines)], strict=True)]
        assert len(set(rows)) == len(groups)
        assert plain("".join(lines)) == "".join(lines)
