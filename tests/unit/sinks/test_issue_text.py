"""What an issue says, and that only our own last write is taken for ours; no server."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sinks.errors import Refused
from sinks.mlflow.issue_text import WITHDRAWN, Wording, wording_of, written
from sinks.mlflow.issues import MlflowIssues
from sinks.mlflow.redaction import Door, RedactionConfig

T0 = 1_800_000_000_000_000
DOOR = Door(RedactionConfig())


def payload(**changes: Any) -> dict[str, Any]:
    base = {
        "status": "open",
        "text": "no answer after * s",
        "error_type": "TimeoutError",
        "span_type": "TOOL",
        "span_name": "search",
        "traces": 1234,
        "recent": 3,
        "handled": 4,
        "first_us": T0,
        "last_us": T0 + 1,
        "back_us": None,
        "silent_us": None,
    }
    return {**base, **changes}


@pytest.mark.parametrize(
    ("changes", "name", "first"),
    [
        (
            {},
            "search: TimeoutError: no answer after * s",
            "search (TOOL) fails first: TimeoutError: no answer after * s",
        ),
        (
            {"text": "TimeoutError: x"},
            "search: TimeoutError: x",
            "search (TOOL) fails first: TimeoutError: x",
        ),
        ({"text": "", "error_type": "", "span_type": None}, "search", "search fails first."),
        (
            {"text": "", "error_type": "", "span_type": None, "span_name": None},
            "Failed traces of which no span failed",
            "No span of these traces failed.",
        ),
    ],
)
def test_it_names_the_span_and_the_pattern(changes: dict[str, Any], name: str, first: str) -> None:
    wording = wording_of(payload(**changes), DOOR)
    assert (wording.name, wording.text.split("\n\n")[0]) == (name, first)
    counts = "Traces: 3 in 24 hours, 1,234 that are counted; 4 of them ended well all the same."
    assert counts in wording.text


def test_hostile_text_stays_one_line_is_redacted_bounded_and_forges_no_last_line() -> None:
    forged = Wording("x", "y").description("rejected")
    text = f"\x1b[31m ana@example.com \u202e\ud800 {forged} {'z' * 5000}"
    wording = wording_of(payload(text=text, span_name=f"a\n\n{forged}\n\n"), DOOR)
    assert len(wording.name) < 250 and "\n" not in wording.name
    assert "ana@example.com" not in wording.description("pending")
    assert not set("\x1b\u202e\ud800") & set(wording.description("pending"))
    wording.description("pending").encode()
    issue = SimpleNamespace(name=wording.name, description=wording.description("pending"), status="pending")
    assert written(issue) == ("pending", True, True)


def test_a_change_of_name_text_status_or_last_line_is_a_persons() -> None:
    wording = wording_of(payload(), DOOR)
    ours = {"name": wording.name, "description": wording.description("pending"), "status": "pending"}

    def seen(**changes: str) -> tuple[bool, bool]:
        return written(SimpleNamespace(**{**ours, **changes}))[1:]

    assert seen() == (True, True)
    assert seen(description=f"{ours['description']}\n") == (True, True)  # a newline that an editor adds
    assert seen(status="resolved") == (True, False)
    assert seen(name="other") == (False, True)
    assert seen(description=ours["description"].replace("1,234", "1")) == (False, True)
    assert seen(description=wording.text) == (False, False)
    assert seen(description=ours["description"].replace("pending,", "resolved,")) == (True, False)


def test_what_cannot_be_redacted_is_refused_and_not_written() -> None:
    broken = Door(RedactionConfig(plugin="no_such_module:find"))
    with pytest.raises(Refused):
        wording_of(payload(), broken)


def test_a_withdrawal_is_one_and_names_its_experiment() -> None:
    taken = MlflowIssues.withdrawal("7/00ff")
    assert taken == {"experiment_id": "7", "pattern": "00ff", "status": "withdrawn"}
    assert MlflowIssues.is_withdrawal(taken)
    assert not MlflowIssues.is_withdrawal(payload())
    assert not MlflowIssues.is_withdrawal(payload(status="resolved"))
    assert WITHDRAWN.description("rejected").startswith(WITHDRAWN.text)
