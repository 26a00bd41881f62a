"""Markdown that content cannot change."""

from __future__ import annotations

import pytest

from tracesieve.pages.markdown import code, escaped, link, table


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain words, 5% of 10", "plain words, 5% of 10"),
        ("a_b *c* [d](e)", "a\\_b \\*c\\* \\[d\\]\\(e\\)"),
        ("<b> & @all #1", "&#60;b&#62; &#38; &#64;all &#35;1"),
        ("http://x www.evil.example", "http&#58;//x www&#46;evil.example"),
        ("a|b\nc\u202e\ud800", "a&#124;b\\\\nc\\\\u202e\\\\ud800"),
    ],
)
def test_words_are_words(text: str, expected: str) -> None:
    assert escaped(text) == expected


def test_code_is_ended_by_nothing_in_it() -> None:
    assert code("tools.search") == "`tools.search`"
    assert code("a ` b `` c") == "``` a ` b `` c ```"
    assert code("a|b") == "<code>a&#124;b</code>"
    assert code("") == ""
    assert code("x" * 400).endswith("… (400 characters)`")


def test_a_link_is_ended_by_nothing_in_its_address() -> None:
    assert link("x", "http://h/#/a b<c>") == "[x](<http://h/#/abc>)"
    assert link("x", None) == "x"


def test_a_table_has_its_numbers_on_the_right() -> None:
    assert table(("a", "b"), [("x", "1")], numbers=[1]) == ["| a | b |", "| --- | --: |", "| x | 1 |"]
