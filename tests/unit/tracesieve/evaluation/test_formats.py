"""An evaluation as text, JSON, JUnit XML and Markdown: valid, bounded, and inert whatever records hold."""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree

import pytest
from support.evaluated import case, evaluated, named
from support.json_times import wrong_times

from tracesieve.evaluation.document import as_json, lines
from tracesieve.evaluation.evaluate import Evaluated
from tracesieve.evaluation.junit import junit
from tracesieve.evaluation.markdown import inert, markdown

HOSTILE = (
    "\x1b[31m<script>alert(1)</script>|`x`]]> &amp; @team #12 ![i](http://e)\u202e\ud800\x00\ufffe "
    + "y" * 5_000
)


def regressed() -> Evaluated:
    return evaluated(
        {
            ("one", "safe"): "fail",
            ("two", "safe"): "pass",
            ("one", "short"): "error",
            ("two", "short"): "skipped",
        },
        {
            ("one", "safe"): "pass",
            ("two", "safe"): "fail",
            ("one", "short"): "pass",
            ("two", "short"): "pass",
        },
    )


def hostile() -> Evaluated:
    return evaluated({("q", "safe"): "fail"}, {("q", "safe"): "pass"}, question=HOSTILE, rationale=HOSTILE)


def test_a_failed_gate_fails_in_junit_case_by_case() -> None:
    root = ElementTree.fromstring(junit(regressed()))
    suites = {one.get("name"): one for one in root}
    assert {
        name: (one.get("tests"), one.get("failures"), one.get("errors"), one.get("skipped"))
        for name, one in suites.items()
    } == {
        "gate": ("1", "1", "0", "0"),
        "safe": ("2", "1", "0", "0"),
        "short": ("2", "0", "1", "1"),
    }
    (failure,) = suites["safe"].iter("failure")
    assert failure.get("message") == "passed before: why"
    names = {one.get("name", "").split(" ", 1)[1] for one in suites["safe"]}
    assert names == {"one", "two"}


def test_what_fails_within_the_bounds_of_a_gate_that_passed_does_not_fail_the_build() -> None:
    found = evaluated(
        {("one", "safe"): "fail", ("two", "safe"): "pass"}, scorers=[named("safe", at_least=0.5)]
    )
    root = ElementTree.fromstring(junit(found))
    assert found.verdict.passed
    assert [*root.iter("failure"), *root.iter("error")] == []
    (skipped,) = root.iter("skipped")
    assert skipped.get("message") == "fail within the bounds of the gate: why"


def test_hostile_content_is_valid_xml_on_one_bounded_line() -> None:
    text = junit(hostile())
    (failure,) = (
        one
        for one in ElementTree.fromstring(text).iter("failure")
        if "passed before" in one.get("message", "") and "script" in one.get("message", "")
    )
    message = str(failure.get("message"))
    assert "\x1b" not in message and "\n" not in message and len(message) < 700
    assert len(text) < 10_000


def test_hostile_content_is_inert_in_markdown() -> None:
    text = markdown(hostile())
    visible = re.sub(r"&#\d+;", "", text).removeprefix("### ")
    for active in ("<", "`", "](", "@", "#", "\x1b", "\u202e", "\ud800"):
        assert active not in visible, active
    assert all(line.count("|") in (0, 5, 9) for line in text.splitlines())
    assert len(text) < 8_000
    text.encode()


@pytest.mark.parametrize("text", ["a|b", "<b>", "[x](y)", "https://e.com", "*x*", "line\nline", "@me #1"])
def test_an_inert_text_has_no_character_that_acts(text: str) -> None:
    assert not set(inert(text).replace("&#", "")) & set("|<>[]()*@\n:")


def test_the_text_names_what_became_worse_and_fits_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    for found in (regressed(), hostile()):
        shown = list(lines(found))
        assert max(len(line) for text in shown for line in text.split("\n")) <= 80
        assert not any("\x1b" in line for line in shown)
    text = "\n".join(lines(regressed()))
    assert "worse: passed before, fails now" in text
    assert f"{case('one').key[:12]}  safe: one" in text
    assert text.splitlines()[-1].startswith("FAILED")


def test_json_is_one_document_with_what_became_worse_fixed_and_stayed_without_score() -> None:
    document = json.loads(json.dumps(as_json(regressed())))
    assert document["passed"] is False
    assert document["worse"] == [
        {"record": case("one").key, "inputs": "one", "scorer": "safe", "rationale": "why"}
    ]
    assert [one["inputs"] for one in document["fixed"]] == ["two"]
    assert [one["scorer"] for one in document["errors"]] == ["short"]
    assert document["compared_with"]["evaluation"] == "e0"
    assert wrong_times(document) == []
    assert json.dumps(as_json(hostile()))
