"""A condition on the command line: its faults with place and hint, all at once, and nothing that a terminal
would obey."""

from __future__ import annotations

import pytest

from tracesieve.condition import parsed
from tracesieve.errors import TracesieveError


def fault(text: str) -> str:
    with pytest.raises(TracesieveError) as raised:
        parsed("--where", text)
    assert raised.value.exit_code == 2
    return str(raised.value)


def test_every_fault_has_its_place_and_a_hint() -> None:
    message = fault("execution_time > 1 AND statsu = 'ERROR' AND tokn.total > 3")
    lines = message.split("\n")
    assert "--where: unknown field `statsu`" in message
    assert "did you mean" in message
    caret = next(line for line in lines if line.strip() == "^")
    shown = lines[lines.index(caret) - 1]
    assert shown[caret.index("^") :].startswith("statsu")
    assert message.count("^") == 2


def test_a_text_that_ends_too_early_or_is_empty_is_a_fault() -> None:
    assert "^" in fault("status = ")
    assert "--where" in fault("")


def test_no_control_character_of_a_condition_reaches_the_terminal() -> None:
    assert "\x1b" not in fault("status = \x1b[31m'ERROR'\n AND x\x1b[0m = 1")


def test_bytes_that_are_no_utf_8_are_a_fault() -> None:
    assert fault("user = 'eve\udcff'") == "--where: is no UTF-8"
    assert parsed("--where", "user = '日本語 😀'").text == "user = '日本語 😀'"


def test_a_condition_on_several_lines_is_pointed_at_in_its_line() -> None:
    lines = fault("status = 'OK'\n  AND nme = 'x'").split("\n")
    assert any(line.strip() == "AND nme = 'x'" for line in lines)
