"""Every fenced block of every page is taken by the program that it is for; what a page says in a line of
code is, too.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Literal

import pytest
from support.doc_blocks import PAGES, ROOT, Block, all_blocks
from support.doc_checks import CHECKS, command_fault, commands, faults, yaml_faults
from support.doc_run import PAGES_RUN_BY_OTHERS, RUN_BY_OTHERS, RUN_PAGES

from rules.dialect import compile_condition
from rules.errors import ConditionError
from tracesieve.config.settings import OWN_FIELDS, settings_model

BLOCKS = all_blocks()
RUNNABLE = {"sh", "console", "python"}


def block(language: str, text: str, before: str = "", after: str = "") -> Block:
    return Block(ROOT / "docs" / "made.md", 1, language, text, before, after)


@pytest.mark.parametrize("one", BLOCKS, ids=lambda one: one.place)
def test_a_block_is_taken_by_the_program_that_it_is_for(one: Block) -> None:
    assert one.language in CHECKS, f"{one.place}: nobody takes a block of {one.language or 'no language'}"
    assert faults(one) == []


@pytest.mark.parametrize(
    "one", [one for one in BLOCKS if one.language in RUNNABLE], ids=lambda one: one.place
)
def test_a_block_is_run_or_says_to_its_readers_why_not(one: Block) -> None:
    page = str(one.page.relative_to(ROOT))
    by_others = PAGES_RUN_BY_OTHERS.get(page) or RUN_BY_OTHERS.get(one.typed.strip())
    assert one.not_run or by_others or page in RUN_PAGES, one.place
    assert not (one.not_run and by_others) or page in PAGES_RUN_BY_OTHERS, one.place
    if by_others:
        assert page in (ROOT / by_others).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_keys_in_a_line_of_code_are_taken_too(page: Path) -> None:
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    text = text.partition("Not there yet")[0]
    top = "|".join(sorted(set(settings_model().model_fields) - OWN_FIELDS))
    for code in re.findall(r"`([^`\n]+)`", text):
        if "…" in code:
            continue
        if re.match(r"tracesieve [a-z]+ ", code) and not re.search(r"[|\[\]]", code):
            assert [fault for words in commands(code) if (fault := command_fault(words))] == []
        if re.match(rf"({top}): \S", code):
            assert list(yaml_faults(block("yaml", code))) == [], code


WRONG = {
    "an option that is not there": block("sh", "tracesieve report --lst 24h\n"),
    "a command that is not there": block("sh", "tracesieve repotr\n"),
    "a value that is no choice": block("console", "$ tracesieve outbox frobnicate\n"),
    "a quote that is open": block("sh", "echo 'a\n"),
    "a target that is not there": block("sh", "make tset\n"),
    "a program of nobody": block("sh", "cd a && frobnicate\n"),
    "a key that is not there": block("yaml", "store: st\nfrobs: 1\n"),
    "a value that is wrong": block("yaml", "alerts: {once_every: soon}\n"),
    "a rule that never matches": block("yaml", "version: 1\nrules: [{id: a, when: 'status = 1', tag: x}]\n"),
    "an expression that is none": block("promql", "sum(rate(tracesieve_traces_total[5m])\n"),
    "a metric that is not there": block("yaml", "- {alert: A, expr: tracesieve_trace_total > 0}\n"),
    "YAML for nobody": block("yaml", "a: 1\n"),
    "Python that is none": block("python", "import\n"),
    "a name that is not imported": block("python", "from mlflow.genai.datasets import get_datset\n"),
    "a text without a word": block("text", "a → b\n"),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_found(wrong: Block) -> None:
    assert faults(wrong) != []


def test_what_is_typed_what_comes_back_and_the_reason_are_told_apart() -> None:
    one = block("console", "$ a\nb\nc\n$ d\n", after="*Not run by a test: it needs two\nmachines.* More.")
    assert one.typed == "a\nd\n"
    assert list(one.exchanges()) == [("a", "b\nc\n"), ("d", "")]
    assert one.not_run == "it needs two\nmachines."
    assert block("yaml", "# a.yaml, the config\na: 1\n").file == "a.yaml"


# Conditions in lines of code: a field or a function, and a comparison. Pages show those below as refused.
CONDITION = re.compile(
    r"(?:(?:tags|metadata|attributes|span|feedback|tokens)\.\S+|status|name|error_rate|p\d\d_ms|traces|execution_time_ms|run_id"
    r"|(?:any|all|count|sum|max|min|avg|length|lower|upper|coalesce|number|hour|dayofweek|has)\(.*\))"
    r".* (?:=|<>|!=|<=?|>=?|IN|I?LIKE|RLIKE|BETWEEN|IS|AND) [^…]+"
)
REFUSED = {"execution_time_ms > '5'": "docs/rules.md", "p50_ms <= p95_ms <= p99_ms": "docs/rules.md"}


def is_condition(text: str) -> bool:
    """On a trace, on a span of one, or on a window."""
    tried: tuple[tuple[str, Literal["trace", "measure"]], ...]
    tried = ((text, "trace"), (f"any(span, {text})", "trace"), (text, "measure"))
    for condition, kind in tried:
        with suppress(ConditionError):
            compile_condition(condition, kind=kind)
            return True
    return False


def test_conditions_in_lines_of_code_are_conditions() -> None:
    found: dict[str, str] = {}
    for page in PAGES:
        text = re.sub(
            r"^ *```.*?^ *```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
        )
        spans = re.findall(r"(?<!`)(?:``\s?([^\n]+?)\s?``|`([^`\n]+)`)(?!`)", text)
        codes = [(double or single).replace(r"\|", "|") for double, single in spans]
        found |= {code: str(page.relative_to(ROOT)) for code in codes if CONDITION.fullmatch(code)}
    assert len(found) >= 20
    assert {text: page for text, page in found.items() if not is_condition(text)} == REFUSED
