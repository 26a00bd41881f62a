"""Elements of pages: hostile content is shown as what it is and ends nothing."""

from __future__ import annotations

import time

import pytest
from support.page_reader import Read

from tracesieve.pages.blocks import bar, section, table, tiles
from tracesieve.pages.elements import MOST_TEXT, cut_apart, element, link, visible, written
from tracesieve.pages.page import page

HOSTILE = (
    "</td></table><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"' onmouseover='alert(1)",
    "</style><style>*{display:none}",
    "<!-- --> ]]> &amp; &#x3c;script&#x3e;",
    "\x1b[2J\x07\x00 red",
    "\u202egnp.exe \u2066\u200b\u2028",
    "\ud800 lone",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_text_wherever_it_stands(text: str) -> None:
    made = page(
        text,
        section(text, table([text], [[text], [element("code", text)]]), note=text),
        tiles([(text, text, text)]),
        bar(0, 0.5, title=text),
        link(text, "https://host/" + text),
        subtitle=text,
    )
    made.encode("utf-8")  # a lone surrogate could not be written
    found = Read(made)
    assert {tag for tag, _ in found.tags}.isdisjoint({"script", "img"})
    assert [tag for tag, _ in found.tags].count("style") == 1
    assert not any(name.startswith("on") for _, names in found.tags for name in names)
    assert not any(ord(one) in (0, 7, 27, 0x202E, 0x2066, 0x200B, 0x2028, 0xD800) for one in made)
    assert found.texts.count(visible(text)) >= 9


def test_what_cannot_be_seen_is_named() -> None:
    assert visible("a\x1b[2J\u202eb\ud800") == "a\\x1b[2J\\u202eb\\ud800"


def test_a_text_of_5_mb_is_cut_at_once_and_its_length_shown() -> None:
    began = time.process_time()
    shown = visible("\u202e" * 5_000_000)
    assert time.process_time() - began < 0.5
    assert shown.endswith("… (5,000,000 characters)")
    assert len(shown) < MOST_TEXT * 6 + 40


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "//host/x",
        "https:",
        "http://[x",
        None,
    ],
)
def test_a_link_goes_to_the_web_or_is_none(url: str | None) -> None:
    assert written(link("trace", url)) == "<span>trace</span>"


def test_a_link_says_nothing_of_the_page() -> None:
    (tag, names), *_ = Read(written(link("t", "https://h/#/x?a=1&b=2"))).tags
    assert (tag, names["href"], names["rel"]) == ("a", "https://h/#/x?a=1&b=2", "noopener noreferrer")


def test_names_that_look_the_same_when_cut_are_told_apart() -> None:
    names = ["x" * 400 + "a", "x" * 400 + "b", "short"]
    first, second, third = cut_apart(names, 50)
    assert first != second and first.startswith("x" * 50) and third == "short"
    assert cut_apart(names, 50) == [first, second, third]


def test_children_keep_their_order() -> None:
    made = element("p", "a ", element("b", "b"), " c", None, " d", class_=None)
    assert written(made) == "<p>a <b>b</b> c d</p>"
