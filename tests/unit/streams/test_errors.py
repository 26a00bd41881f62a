"""The tree of streams' errors: every error is in it, drawn in its docstring, and has an exit code."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from store import open_store
from store.rule_sets import RuleSets
from streams import errors
from streams.batch.process import in_force

PACKAGE = Path(errors.__file__).parent


def tree(root: type[Exception]) -> list[type[Exception]]:
    return [root, *(below for one in root.__subclasses__() for below in tree(one))]


def test_every_error_is_in_one_tree_that_is_drawn_and_has_an_exit_code() -> None:
    own = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, Exception)]
    assert set(own) == set(tree(errors.StreamsError))
    assert {one.exit_code for one in own} <= {1, 2, 3}
    assert errors.__doc__ is not None
    drawn = [line.split("─ ")[-1].split()[0] for line in errors.__doc__.splitlines() if "  " in line.strip()]
    assert sorted(drawn) == sorted(one.__name__ for one in own)


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda file: file.name)
def test_no_file_of_the_package_has_an_error_of_its_own(file: Path) -> None:
    classes = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.ClassDef)]
    bases = {ast.unparse(base) for one in classes for base in one.bases}
    if file.name != "errors.py":
        assert not {base for base in bases if base.endswith(("Error", "Exception"))}


def test_a_store_without_rules_is_an_error_with_its_mend(tmp_path: Path) -> None:
    with pytest.raises(errors.NoRuleSet, match="tracesieve run") as caught:
        in_force(RuleSets(open_store(str(tmp_path))))
    assert caught.value.exit_code == 3
