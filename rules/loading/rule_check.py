"""The checks of one rule of a file; each is made whatever the others found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, Literal, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from rules.diagnostics import Diagnostic, Path, Place, raised_by
from rules.dialect import compile_condition
from rules.errors import ConditionError
from rules.kinds import all_kinds, kind_of
from rules.loading.expected import TEXT, expected, lists_choices, nearest
from rules.loading.shape import by_path
from rules.loading.yaml_file import QUOTE_IT, YamlFile
from rules.loading.yaml_values import hint_to_quote, is_plain_number, read_otherwise
from rules.rule_set import RuleModel, parse_rule


class RuleCheck:
    """Checks one rule; :attr:`diagnostics` holds what is wrong with it, in no order."""

    def __init__(self, file: YamlFile, path: Path, item: Any, group_by: Sequence[str]) -> None:
        self.diagnostics: list[Diagnostic] = []
        self._file, self._path, self._item, self._group_by = file, path, item, group_by
        given = item["id"] if isinstance(item, dict) else None
        self._id = given if isinstance(given, str) else ""
        self._kind = kind_of(item)

    def run(self, places: dict[str, Place], test_places: dict[tuple[str, int], Place]) -> RuleModel | None:
        """Make every check; the rule, unless it does not have the shape of one.

        ``places`` has the rules that came before; this one and its tests are added.
        """
        if not isinstance(self._item, dict):
            self._add(Diagnostic("format", "a rule is a mapping of keys"))
            return None
        model: RuleModel | None = None
        try:
            model = parse_rule(self._item)
        except ValidationError as error:
            for path, problems in by_path(error.errors(), self._item).items():
                self._add(self._wrong_shape(path, problems))
        if self._id in places:
            first = places[self._id]
            hint = f"first in {first.file}:{first.line}"
            self._add(Diagnostic("duplicate-id", f"rule `{self._id}` is defined twice", hint, path=("id",)))
        elif self._id:
            places[self._id] = self._file.place((*self._path, "id"))
            self._place_tests(test_places)
        for key, scope in self._kind.conditions.items():
            self._condition(key, scope)
        for fault in self._kind.check(self._item, self._group_by):
            self._add(fault)
        self._values_read_otherwise()
        return model

    def _add(self, fault: Diagnostic) -> None:
        place = self._file.place((*self._path, *fault.path))
        self.diagnostics.append(fault.at(place, self._id))

    def _wrong_shape(self, path: Path, problems: Sequence[Mapping[str, Any]]) -> Diagnostic:
        """What pydantic found at one value, in the words of a rule file."""
        key, kind = ".".join(str(part) for part in path), problems[0]["type"]
        if kind == "extra_forbidden":
            return Diagnostic("unknown-key", f"unknown key `{key}`", self._nearest_key(path), path=path)
        if kind == "missing":
            message = f"`{key}` is required in a {self._kind.name} rule{self._why_this_kind()}"
            return Diagnostic("missing-key", message, path=path)
        wanted = expected(problems)
        hint = hint_to_quote(self._file, (*self._path, *path)) if TEXT in wanted else ""
        if near := nearest(problems[0]):
            hint = f"did you mean {near}?"
        if not hint and raised_by(problems[0]) is None and not lists_choices(problems[0]):
            hint = _description(self._kind.model, path)
        return Diagnostic("wrong-value", f"`{key}`: {wanted}", hint, path=path)

    def _values_read_otherwise(self) -> None:
        """Values of tags, attributes and the like, which may be anything, that YAML does not read as
        written.
        """
        wrong = {one.path for one in self.diagnostics}
        for full in read_otherwise(self._file, self._path, self._item):
            path = full[len(self._path) :]
            free = len(path) > 1 and not known_keys(self._kind.model, path[:-1])
            number = not {"tags", "metadata"} & set(path) and is_plain_number(self._file, full)
            if free and not number and path not in wrong:
                key = ".".join(str(part) for part in path)
                hint = hint_to_quote(self._file, full)
                message = f"`{key}` is not the text that is written"
                self._add(Diagnostic("yaml-value", message, hint, "warning", path=path))

    def _why_this_kind(self) -> str:
        """By which key the rule was taken for one of its kind."""
        if self._kind.key in self._item:
            return f" (it has `{self._kind.key}`)"
        others = (kind for kind in all_kinds() if kind is not self._kind)
        return "; " + ", ".join(f"a {kind.name} rule has `{kind.key}`" for kind in others)

    def _nearest_key(self, path: Path) -> str:
        """A hint at the key that an unknown one may stand for."""
        key, names = str(path[-1]), known_keys(self._kind.model, path[:-1])
        others = [
            kind.name
            for kind in all_kinds()
            if kind is not self._kind and len(path) == 1 and key in kind.keys
        ]
        if others:
            return f"only {' and '.join(others)} rules have it"
        close = get_close_matches(key, names, 1)
        return f"did you mean `{close[0]}`?" if close else f"there are: {', '.join(names)}" if names else ""

    def _place_tests(self, test_places: dict[tuple[str, int], Place]) -> None:
        tests = self._item.get("tests")
        groups: Mapping[str, Any] = tests if isinstance(tests, dict) else {}
        number = 0
        for key in ("match", "no_match"):
            traces = groups.get(key)
            for index in range(len(traces) if isinstance(traces, list) else 0):
                number += 1
                place = self._file.place((*self._path, "tests", key, index))
                test_places[self._id, number] = place

    def _condition(self, key: str, scope: Literal["trace", "measure"]) -> None:
        text = self._item.get(key)
        if not isinstance(text, str):
            return
        try:
            compile_condition(text, kind=scope)
        except ConditionError as error:
            path = (*self._path, key)
            for fault in error.diagnostics:
                place = self._file.place_inside(path, fault.line, fault.column)
                if fault.code == "syntax" and self._file.comment_follows(path):
                    fault = replace(fault, hint=f"YAML takes what follows ` #` for a comment; {QUOTE_IT}")
                self.diagnostics.append(fault.at(place, self._id))


def known_keys(model: type[BaseModel], path: Path) -> list[str]:
    """The keys that a rule file may have at a path inside a model; none where any may be."""
    for part in path:
        if isinstance(part, str):
            found = _field(model, part)
            inner = _model_in(found.annotation) if found else None
            if inner is None:
                return []
            model = inner
    return [info.alias or name for name, info in model.model_fields.items()]


def _description(model: type[BaseModel], path: Path) -> str:
    """What the key at a path is for, or the one that holds it where that may have any keys."""
    text = ""
    for part in path:
        if not isinstance(part, str):
            continue
        found = _field(model, part)
        if found is None:
            break
        text = found.description or ""
        inner = _model_in(found.annotation)
        if inner is None:
            break
        model = inner
    return text


def _field(model: type[BaseModel], key: str) -> FieldInfo | None:
    """The field of a model that a file names ``key``."""
    return next((info for name, info in model.model_fields.items() if key in (name, info.alias)), None)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model in ``Model | None`` or ``list[Model]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for one in get_args(annotation) if (found := _model_in(one))), None)
