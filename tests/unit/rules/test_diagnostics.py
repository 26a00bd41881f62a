"""One form for what is wrong with rules, conditions and the config."""

from __future__ import annotations

from rules.diagnostics import Diagnostic, Place, errors_among, errors_first
from rules.errors import ConditionError, RuleError, RuleFilesError


def test_a_place_comes_first_then_what_is_wrong_then_the_hint() -> None:
    in_rule = Diagnostic("type", "a text is compared", "write 5", path=("when",))
    assert (
        str(in_rule.at(Place("r.yaml", 3, 11), "a")) == "r.yaml:3:11: error type a text is compared (write 5)"
    )
    warning = Diagnostic("type", "m", severity="warning", file="r.yaml", line=3, column=11)
    assert str(warning) == "r.yaml:3:11: warning type m"
    in_config = Diagnostic(
        "", "is required", path=("alerts", "alertmanager", 0, "url"), file="c.yaml", line=6
    )
    assert str(in_config) == "c.yaml:6: alerts.alertmanager.0.url: is required"
    assert str(Diagnostic("", "is no mapping", file="c.yaml", line=1)) == "c.yaml:1: -: is no mapping"
    assert str(Diagnostic("", "sets no key", file="TRACESIEVE_X")) == "TRACESIEVE_X: sets no key"


def test_json_has_the_keys_that_scripts_read() -> None:
    found = Diagnostic("type", "m", "h", "warning", path=("when",)).at(Place("r.yaml", 3, 11), "a")
    assert found.as_json() == {
        "file": "r.yaml",
        "line": 3,
        "column": 11,
        "code": "type",
        "message": "m",
        "hint": "h",
        "severity": "warning",
        "rule": "a",
    }


def test_errors_come_first_in_the_order_of_the_file() -> None:
    found = [Diagnostic("a", "", severity="warning"), Diagnostic("b", ""), Diagnostic("c", "")]
    assert [one.code for one in errors_first(found)] == ["b", "c", "a"]


def test_errors_carry_all_of_them_and_a_warning_is_no_error() -> None:
    found = [Diagnostic("a", "first", line=1, column=2), Diagnostic("b", "second", severity="warning")]
    assert errors_among(found) == found[:1]
    assert str(ConditionError(found[:1])) == "1:2: first"
    for error in (ConditionError(found), RuleFilesError(found)):
        assert isinstance(error, RuleError) and error.exit_code == 2 and error.diagnostics == tuple(found)
