"""A record is redacted as a whole: stable tokens, whatever JSON it is, nothing of a value left anywhere."""

from __future__ import annotations

import json
import random
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.errors import PluginError, TooDeepError
from rules.redaction import Redactor, pattern_error

PLAIN = Redactor()


def redacted(*values: Any, by: Redactor = PLAIN) -> list[Any]:
    return list(by.record(*values).values)


def test_one_value_has_one_token_in_inputs_and_outputs_however_it_is_written() -> None:
    found = PLAIN.record(
        {"q": "mail Bob@Example.com or amy@example.com, +49 30 901820"},
        {"a": "bob@example.com has +49-30-901820"},
    )
    assert found.values == (
        {"q": "mail [EMAIL_1] or [EMAIL_2], [PHONE_1]"},
        {"a": "[EMAIL_1] has [PHONE_1]"},
    )
    assert found.counts == {"EMAIL": 2, "PHONE": 1}


def test_the_order_of_keys_is_none_of_the_content() -> None:
    one = {"b": "bob@example.com", "a": "amy@example.com"}
    other = dict(reversed(one.items()))
    assert redacted(one) == redacted(other) == [{"b": "[EMAIL_2]", "a": "[EMAIL_1]"}]
    assert list(redacted(one)[0]) == list(one)  # as it was written


def test_keys_stay_but_those_that_hold_addresses() -> None:
    value = {"email": "x", "amy@example.com": 1, "bob@example.com": {"n": 3}}
    assert redacted(value) == [{"email": "x", "[EMAIL_1]": 1, "[EMAIL_2]": {"n": 3}}]


def test_two_spellings_of_one_key_stay_two_keys() -> None:
    (found,) = redacted({"bob@example.com": 1, "BOB@example.com": 2, "[EMAIL_1]": 3})
    assert sorted(found.values()) == [1, 2, 3]
    assert "@" not in json.dumps(found)


@pytest.mark.parametrize("style", [{}, {"ensure_ascii": False}, {"separators": (",", ":")}, {"indent": 2}])
def test_json_in_a_text_is_looked_into_and_written_as_it_was(style: dict[str, Any]) -> None:
    inner = {"to": "bob@example.com", "password": "all letters", "n": [1, "ü", None]}
    (found,) = redacted({"arguments": json.dumps(inner, **style)})
    expected = {**inner, "to": "[EMAIL_1]", "password": "[SECRET_1]"}
    assert found == {"arguments": json.dumps(expected, **style)}
    untouched = json.dumps({"n": 1.50, "t": "a"}, **style)
    assert redacted(untouched) == [untouched]


@pytest.mark.parametrize(
    "text",
    [
        '{"to": "bob@example.com", "to": "nobody"}',  # JSON readers keep the last
        '["bob\\u0040example.com"]',
        '"{\\"to\\": \\"bob@example.com\\"}"',
        '{"a": ' * 70 + '"bob@example.com"' + "}" * 70,
        "[" * 5000 + '"bob@example.com"' + "]" * 5000,
        '{"to": "bob@example.com"',
    ],
)
def test_nothing_is_left_in_json_that_hides_it(text: str) -> None:
    (found,) = redacted({"x": text})
    assert "bob" not in found["x"]


def test_numbers_stay_numbers_but_for_those_of_cards() -> None:
    value = {
        "a": 4111111111111111,
        "b": 4111111111111111.0,
        "c": 1764280219123,
        "d": 0.5,
        "e": True,
        "f": None,
    }
    assert redacted(value) == [{**value, "a": "[CARD_1]", "b": "[CARD_1]"}]
    assert redacted([float("1e300"), 10**40]) == [[1e300, 10**40]]


def test_what_stands_under_the_name_of_a_credential_is_one() -> None:
    value = {"password": "letters", "apiKey": "abc", "X-Api-Key": "k", "token": "the", "max_tokens": "512"}
    (found,) = redacted(value)
    assert found == {**value, "password": "[SECRET_3]", "apiKey": "[SECRET_2]", "X-Api-Key": "[SECRET_1]"}
    schema = {"properties": {"password": {"type": "string"}}, "password": "string", "api_key": "${KEY}"}
    assert redacted(schema) == [schema]
    assert redacted({"phone": "555 0198 77", "mobile_number": "0151/2345678"}) == [
        {"phone": "[PHONE_2]", "mobile_number": "[PHONE_1]"}
    ]


def test_a_token_that_is_there_is_given_to_nothing_else_and_stays() -> None:
    value = {"a": "[EMAIL_1] wrote to bob@example.com"}
    assert redacted(value) == [{"a": "[EMAIL_1] wrote to [EMAIL_2]"}]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec=None, exclude_categories=("Nd",), exclude_characters="@"))
    | st.sampled_from(
        [
            "a@example.com",
            "+49 30 901820",
            "4111 1111 1111 1111",
            "DE89370400440532013000",
            "203.0.113.7",
            "password=hunter2",
            '{"k": "a@example.com"}',
            "[EMAIL_1]",
        ]
    ),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(max_size=5) | st.sampled_from(["password", "a@example.com"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_redacting_again_changes_nothing_and_the_shape_stays(value: Any) -> None:
    first = PLAIN.record(value)
    again = PLAIN.record(*first.values)
    assert again.values == first.values
    assert again.counts == {}
    text = json.dumps(first.values)
    for secret in ("a@example.com", "901820", "4111 1111", "DE8937", "203.0.113", "hunter2"):
        assert secret not in text


@given(st.text(st.characters(codec=None)))
def test_any_text_is_taken(text: str) -> None:
    by = Redactor(region="DE", patterns={"any": "[a-c]+"})
    ((found,),) = redacted([text], by=by)
    assert isinstance(found, str)


def test_own_patterns_are_re2_and_their_spans_are_right_beside_odd_characters() -> None:
    by = Redactor(patterns={"customer": r"\bC-[0-9]{4}\b", "ward": "Station [A-Z]"})
    assert redacted("\ud800\ue000C-1234 \U0001f600 C-1234, Station B", by=by) == [
        "\ud800\ue000[CUSTOMER_1] \U0001f600 [CUSTOMER_1], [WARD_1]"
    ]
    assert redacted({"n": 12345, "C-1234": 1}, by=Redactor(patterns={"number": "^123.*"})) == [
        {"n": "[NUMBER_1]", "C-1234": 1}
    ]
    assert pattern_error(r"(a)\1") != ""
    assert pattern_error("x*") != ""
    assert pattern_error("(") != ""
    began = time.process_time()
    redacted("a" * 100_000 + "!", by=Redactor(patterns={"slow": "(a+)+$"}))
    assert time.process_time() - began < 5  # exponential where a pattern is tried by backtracking


def test_parts_that_overlap_become_one_and_leave_nothing() -> None:
    by = Redactor(patterns={"host": r"[a-z]+\.example\.com"})
    assert redacted("bob@mail.example.com", by=by) == ["[HOST_1]"]


def test_a_plugin_finds_more_and_its_fault_lets_nothing_through() -> None:
    seen: list[list[str]] = []

    class Answer:
        start, end, entity_type = 0, 4, "PERSON"

    def find(texts: list[str]) -> list[list[Any]]:
        seen.append(texts)
        return [[Answer(), (5, 8, "place")] if text.startswith("Anna") else [] for text in texts]

    assert redacted({"q": "Anna Ulm a@example.com"}, "Anna Ulm", by=Redactor(plugin=find)) == [
        {"q": "[PERSON_1] [PLACE_1] [EMAIL_1]"},
        "[PERSON_1] [PLACE_1]",
    ]
    assert seen == [["q", "Anna Ulm a@example.com", "Anna Ulm"]]

    def broken(texts: list[str]) -> Any:
        raise ValueError(texts[0])

    faults: list[Any] = [broken, lambda _: [], lambda _: None, lambda t: [[(0, 99, "A")]] * len(t)]
    faults += [lambda t: [[(0, 1, "no name!")]] * len(t), lambda t: [["ab"]] * len(t)]
    for fault in faults:
        with pytest.raises(PluginError) as failed:
            redacted("Anna", by=Redactor(plugin=fault))
        assert "Anna" not in str(failed.value)


def test_what_is_nested_too_deep_is_refused_and_not_let_through() -> None:
    value: Any = "bob@example.com"
    for _ in range(200):
        value = [value]
    with pytest.raises(TooDeepError):
        redacted(value)


def test_the_fingerprint_is_that_of_what_is_looked_for() -> None:
    kinds = [Redactor(), Redactor(("email",)), Redactor(region="DE"), Redactor(patterns={"a": "b"})]
    kinds += [Redactor(plugin=lambda texts: [], plugin_name="m:f")]
    assert len({one.fingerprint for one in kinds}) == len(kinds)
    assert Redactor(("email", "ip")).fingerprint == Redactor(("ip", "email")).fingerprint


HOSTILE = {
    "prose": "the order 12345 of 2026-11-27T10:20:30Z costs 12.50 EUR, see https://example.org/a?b=c ",
    "at signs": "@a@a",
    "dots": "a.",
    "digits": "1 ",
    "long digits": "1",
    "cards": "4111 ",
    "keys": "-----BEGIN PRIVATE KEY-----",
    "names": "password=",
    "tokens": "eyJaaaaaaaa.",
    "accounts": "DE89 ",
    "colons": ":",
    "surrogates": "\ud800",
    "brackets": '[{"',
}


@pytest.mark.parametrize("part", HOSTILE.values(), ids=HOSTILE)
def test_time_grows_with_the_text_and_no_faster(part: str) -> None:
    def took_s(size: int) -> float:
        text = part * (size // len(part))
        began = time.process_time()
        redacted({"q": text}, by=Redactor(region="DE"))
        return time.process_time() - began

    took_s(1000)
    small, large = took_s(50_000), took_s(500_000)
    assert large < 40 * max(small, 0.01)  # 10 where it is linear, 100 where it is not


def test_five_megabytes_of_plain_text_take_about_a_second() -> None:
    rng = random.Random(1)
    words = HOSTILE["prose"].split()
    text = " ".join(rng.choice(words) for _ in range(500_000))
    assert len(text) > 4_000_000
    began = time.process_time()
    redacted({"q": text})
    assert time.process_time() - began < 4
