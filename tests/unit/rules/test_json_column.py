"""JSON columns: what Arrow parses in one go equals what Python parses word by word, hostile words
included.
"""

from __future__ import annotations

import json
import random

import numpy as np
import pyarrow as pa
import pytest

from rules.matcher.json_column import KEYS, JsonColumn, json_object, number_under

ODD = [
    '{"input_tokens": 1, "input_tokens": 2}',
    '{"input_tokens": "1"}',
    '{"input_tokens": true}',
    '{"input_tokens": NaN}',
    '{"input_tokens": 1e99}',
    '{"input_tokens": 01}',
    '{"input_tokens": 1}x',
    '{"input_tokens": 1} {"input_tokens": 2}',
    "",
    "{}",
    "[]",
    "null",
    " ",
    "{",
    '{"input_tokens": 1,}',
    '{"a": "}',
    '{"}',
    '{"input_tokens": null, "output_tokens": 2}',
    '{"input_tokens":\n1}',
    '{"x": {"input_tokens": 5}}',
    '{"input_tokens": -0.0}',
    '{"input_tokens": 9999999999999999}',
    '{"input_tokens": 123456789012345678901234567890}',
    '{"input_tokens": Inf}',
    '{"input_tokens": .5}',
    "[" * 5000,
    '{"total_tokens": 1e15, "input_tokens": 1, "output_tokens": 2}',
    '{"input_tokens": 1, "output_tokens": 2}',
    '{"input_tokens": 9e14, "output_tokens": 9e14}',
    '{"input_cost": 0.1, "output_cost": 0.2}',
    '{"ключ": 1}',
    '{"input_tokens": -3, "output_tokens": 4}',
    '{"input_tokens": -3, "note": "x"}',
    '{"total_cost": -1e-9}',
]


def expected(word: str) -> list[float]:
    return [number_under(key, json_object(word)) for key in KEYS]


def check(words: list[str]) -> None:
    column = JsonColumn(pa.array(words, pa.string()))
    found = np.array([column.numbers(key) for key in KEYS]).T.reshape(len(words), len(KEYS))
    np.testing.assert_array_equal(
        found, np.array([expected(word) for word in words]).reshape(len(words), len(KEYS))
    )
    assert column.broken.tolist() == [json_object(word) is None for word in words]


@pytest.mark.parametrize("word", ODD)
def test_one_odd_word_among_plain_ones_changes_no_other(word: str) -> None:
    check(
        [
            json.dumps({"input_tokens": 3, "total_tokens": 7}),
            word,
            json.dumps({"output_tokens": 5, "cached": 2}),
        ]
    )


def test_random_words_read_the_same_as_by_python() -> None:
    rng = random.Random(7)
    for _ in range(60):
        words = []
        for _ in range(rng.randrange(40)):
            keys = rng.sample([*KEYS, "cache_read_input_tokens"], rng.randrange(5))
            numbers = {
                key: rng.choice(
                    [rng.randrange(10**6), rng.random(), rng.uniform(-1, 1) * 10 ** rng.randrange(-9, 18)]
                )
                for key in keys
            }
            words.append(rng.choice(ODD) if rng.random() < 0.05 else json.dumps(numbers))
        check(list(dict.fromkeys(words)))


def test_numbers_that_are_no_amounts_are_unknown_and_found_either_way() -> None:
    words = [
        '{"input_tokens": -3}',
        '{"input_tokens": -3, "x": "y"}',
        '{"total_cost": 1e15}',
        '{"input_tokens": 3}',
        "[",
    ]
    column = JsonColumn(pa.array(words))
    assert column.out_of_range.tolist() == [True, True, True, False, False]
    assert np.isnan(column.numbers("input_tokens")).tolist() == [True, True, True, False, True]
