"""An evaluation as JUnit XML for CI: a test case for each record and scorer, and one for the gate.

CI fails a build for any failure in such a file.  So what fails within the bounds of a gate that passed is
written as skipped, with the reason: the file and the exit code always say the same.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

from tracesieve.evaluation.document import headline, inputs_of
from tracesieve.evaluation.evaluate import Evaluated
from tracesieve.evaluation.score import ERROR, FAIL, PASS, SKIPPED, Score
from tracesieve.terminal import plain

_MOST = 500  # characters of hostile text in one attribute
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(found: Evaluated) -> bytes:
    """The document, UTF-8."""
    root = ElementTree.Element("testsuites", {"name": headline(found)})
    gate = _suite(root, "gate", 1)
    case = ElementTree.SubElement(gate, "testcase", {"classname": found.loaded.name, "name": "gate"})
    if not found.verdict.passed:
        _note(case, "failure", "; ".join(found.verdict.reasons))
    gate.set("failures", str(int(not found.verdict.passed)))
    for one in found.scorers:
        _scorer(root, found, one.name)
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text


def _scorer(root: ElementTree.Element, found: Evaluated, name: str) -> None:
    scores = [one for one in found.evaluation.scores if one.scorer == name]
    suite = _suite(root, name, len(scores))
    worse = {one.record for one in found.verdict.worse if one.scorer == name}
    counts = {"failure": 0, "error": 0, "skipped": 0}
    for one in scores:
        title = f"{one.record[:12]} {inputs_of(found, one.record)}"
        attributes = {"classname": f"{found.loaded.name}.{name}", "name": _legal(title)}
        case = ElementTree.SubElement(suite, "testcase", attributes)
        kind, message = _outcome(one, passed=found.verdict.passed, worse=one.record in worse)
        if kind:
            counts[kind] += 1
            _note(case, kind, message)
    for attribute, kind in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(attribute, str(counts[kind]))


def _suite(root: ElementTree.Element, name: str, tests: int) -> ElementTree.Element:
    attributes = {"name": name, "tests": str(tests), "failures": "0", "errors": "0", "skipped": "0"}
    return ElementTree.SubElement(root, "testsuite", attributes)


def _outcome(one: Score, *, passed: bool, worse: bool) -> tuple[str, str]:
    if one.outcome == PASS:
        return "", ""
    if one.outcome == SKIPPED:
        return "skipped", one.rationale
    kind = {FAIL: "failure", ERROR: "error"}[one.outcome]
    words = f"passed before: {one.rationale}" if worse else one.rationale
    return ("skipped", f"{one.outcome} within the bounds of the gate: {words}") if passed else (kind, words)


def _note(case: ElementTree.Element, kind: str, message: str) -> None:
    ElementTree.SubElement(case, kind, {"message": _legal(message)})


def _legal(text: str) -> str:
    """A text on one line that XML can hold, of bounded length."""
    return _NO_XML.sub("\ufffd", plain(text, _MOST))
