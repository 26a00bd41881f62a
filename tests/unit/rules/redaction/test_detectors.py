"""Each detector by itself, on what it must find and what only looks like it; and on the corpus of 500 texts,
whose scores docs/redaction.md prints.
"""

from __future__ import annotations

import pytest
from support.redaction_corpus import HARD, SIZE, corpus
from support.redaction_scores import of_page, scores, table

from rules.redaction import DETECTORS, Redactor
from rules.redaction.card import cards
from rules.redaction.iban import ibans
from rules.redaction.ip import ips
from rules.redaction.phone import phones
from rules.redaction.secret import secrets


def test_the_corpus_is_the_same_each_time_and_its_truths_are_in_its_texts() -> None:
    texts = corpus()
    assert len(texts) == SIZE == 500
    assert texts == corpus()
    assert all(value in one.text for one in texts for _, value in one.truths)
    assert len(HARD) >= 50


def test_the_page_prints_the_scores_of_this_program() -> None:
    assert of_page() == table(), "PYTHONPATH=tests python -m support.redaction_scores writes it anew"


def test_no_detector_is_worse_than_this() -> None:
    found = scores(Redactor())
    assert {kind.lower() for kind in found} == set(DETECTORS)
    low = {kind: (one.recall, one.precision) for kind, one in found.items() if one.precision < 0.92}
    assert low == {}
    assert {kind: one.recall for kind, one in found.items() if one.recall < 0.96}.keys() == {"PHONE"}
    assert scores(Redactor(region="DE"))["PHONE"].recall >= 0.98


def of(found: object) -> list[str]:
    return [one.value for one in found]  # type: ignore[attr-defined]


def test_one_number_is_one_value_in_all_its_spellings() -> None:
    text = "4111111111111111 4111-1111-1111-1111, 4111 1111 1111 1111"
    assert set(of(cards(text))) == {"4111111111111111"}
    assert set(of(cards("٤١١١١١١١١١١١١١١١"))) == {"4111111111111111"}
    assert set(of(ibans("DE89370400440532013000, de89 3704 0044 0532 0130 00"))) == {"DE89370400440532013000"}
    assert set(of(phones("+49 (0)30 901820, +49-30-901820, 0049 30 901820"))) == {"+4930901820"}
    assert set(of(ips("2001:db8::1 2001:0DB8:0:0:0:0:0:1"))) == {"2001:db8::1"}
    assert set(of(ips("192.0.2.1 192.000.002.001"))) == {"192.0.2.1"}


@pytest.mark.parametrize(
    ("region", "text", "number"),
    [
        ("DE", "unter 030 901820 oder", "+4930901820"),
        ("GB", "on 020 7946 0958.", "+442079460958"),
        ("US", "at (415) 555-2671,", "+14155552671"),
        ("US", "order 4155552671", ""),
        ("DE", "am 27.11.2026 030 901820", "+4930901820"),
        ("DE", "0.123456789 und 1 234 567 und 2026-11-27", ""),
        ("ES", "llama 912 345 678", "+34912345678"),
        (None, "unter 030 901820 oder", ""),
        (None, "Tel.: 030 901820", "030901820"),
    ],
)
def test_numbers_of_a_region_are_found_as_it_writes_them(region: str | None, text: str, number: str) -> None:
    assert of(phones(text, region)) == ([number] if number else [])


def test_more_candidates_than_can_be_looked_up_are_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rules.redaction.phone.MOST", 3)
    text = " ".join(f"+999{number:09d}" for number in range(5))  # no country has that code
    assert len(of(phones(text))) == 2


def test_an_unclosed_key_is_taken_to_its_end() -> None:
    text = "x -----BEGIN RSA PRIVATE KEY-----\nMIIEow+/=\nabc"
    assert [text[one.start : one.end] for one in secrets(text)] == [text[2:]]
