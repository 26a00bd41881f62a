"""When inputs are equal, and how alike others are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rules.selection.inputs import features, query_text, signature


def alike(first: Any, second: Any) -> float:
    one, other = (np.frombuffer(features(value).signature, "<u4") for value in (first, second))
    return float(np.mean(one == other))


@pytest.mark.parametrize(
    ("first", "second", "equal"),
    [
        ({"q": "where is my order?"}, {"q": "  where is\nmy order?"}, True),
        ({"q": "ﬁne １２"}, {"q": "fine 12"}, True),
        ({"q": "US"}, {"q": "us"}, False),
        ({"a": 1, "q": "x"}, {"q": "x", "a": 1}, True),
        ({"q": "order 17"}, {"q": "order 18"}, False),
        ({"q": "1"}, {"q": 1}, False),
        ({"q": "x"}, {"p": "x"}, False),
    ],
)
def test_inputs_are_equal_that_differ_in_width_or_white_space_alone(
    first: Any, second: Any, equal: bool
) -> None:
    one, other = features(first), features(second)
    assert (one.inputs == other.inputs) is equal
    assert (one.record == other.record) is (first == second)


def test_a_number_or_a_name_more_or_less_makes_a_near_duplicate_and_another_question_does_not() -> None:
    asked = {"q": "please cancel the order 4711 that I placed yesterday and refund my card"}
    assert (
        alike(asked, {"q": "Please cancel the order 99 that I placed yesterday and refund my card!"}) == 1.0
    )
    assert alike(asked, {"q": "please cancel the order 4711 that I placed today and refund my card"}) > 0.7
    assert alike(asked, {"q": "how do I change the address that invoices are sent to"}) < 0.2


def test_of_a_chat_the_users_messages_count() -> None:
    prompt = "You are a helpful agent of a shop. " * 50

    def chat(question: str) -> dict[str, Any]:
        of_user = [{"type": "text", "text": question}]
        return {"messages": [{"role": "system", "content": prompt}, {"role": "user", "content": of_user}]}

    assert query_text(chat("Where is it?")) == "where is it?"
    assert alike(chat("where is my parcel"), chat("cancel the whole subscription")) < 0.4


def test_texts_without_spaces_are_compared_by_their_characters() -> None:
    assert alike({"q": "我的订单在哪里请帮我查一下"}, {"q": "我的订单在哪里请帮我看一下"}) > 0.5
    assert signature("…!?") == b""


def test_what_has_hardly_a_word_is_like_nothing_else() -> None:
    assert features({"q": 17}).signature == features({"q": "hi there"}).signature == b""


def test_hostile_inputs_have_features() -> None:
    deep: Any = "x"
    for _ in range(60):
        deep = [deep]
    for value in (
        {"q": "\ud83d half"},
        {"q": "\u202e\x1b[31m<b>"},
        {"q": "long " * 200_000},
        deep,
        None,
        3.5,
    ):
        assert features(value) == features(value)
