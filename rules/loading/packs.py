"""Loading packs: shipped names, files and folders into one checked set of rules, every finding with its
place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ValidationError

from rules.dialect import compile_condition
from rules.errors import ConditionError, Finding
from rules.groups import raw_columns
from rules.kinds import KINDS, kind_of
from rules.loading.yaml_source import Source, load
from rules.rule_set import RuleModel, RuleSet, build_rule_set, parse_rule

SHIPPED = Path(__file__).parents[1] / "packs"
Path_ = tuple[str | int, ...]
Place = tuple[str, int, int]


@dataclass
class Loaded:
    """What came of a load: the pack, if nothing in it is an error, and all findings."""

    rule_set: RuleSet | None
    findings: list[Finding] = field(default_factory=list)
    places: dict[str, Place] = field(default_factory=dict)  # of each rule, and of test n of it as "id#n"

    @property
    def errors(self) -> list[Finding]:
        """The findings that stop a load."""
        return [finding for finding in self.findings if finding.severity == "error"]


def load_packs(entries: Sequence[str | Path], group_by: Sequence[str], base_dir: str | Path = ".") -> Loaded:
    """Load rule files; an entry is a shipped pack's name (``packs/default``), a file, or a folder of
    ``*.yaml``.
    """
    findings: list[Finding] = []
    for key in group_by:
        try:
            raw_columns(key)
        except ValueError as error:
            findings.append(Finding("group_by", 1, 1, "group-key", str(error)))
    models: list[RuleModel] = []
    places: dict[str, Place] = {}
    files: list[Path] = []
    for entry in entries:
        found = _files(entry, Path(base_dir))
        if not found:
            findings.append(
                Finding(str(entry), 1, 1, "no-file", "there is no such pack, file or folder of *.yaml")
            )
        files += [file for file in found if file not in files]
    for file in files:
        of_file: list[Finding] = []
        models += _load_file(file, group_by, places, of_file)
        findings += sorted(of_file, key=lambda finding: (finding.line, finding.column))
    ok = not any(finding.severity == "error" for finding in findings)
    return Loaded(build_rule_set(models) if ok else None, findings, places)


def _files(entry: str | Path, base: Path) -> list[Path]:
    name = str(entry).removeprefix("packs/")
    path = base / entry
    if path.is_dir():
        return sorted([*path.glob("*.yaml"), *path.glob("*.yml")])
    if path.is_file():
        return [path]
    shipped = SHIPPED / f"{name}.yaml"
    return [shipped] if Path(name).name == name and shipped.is_file() else []


def _load_file(
    file: Path, group_by: Sequence[str], places: dict[str, Place], findings: list[Finding]
) -> list[RuleModel]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        findings.append(Finding(str(file), 1, 1, "no-file", f"cannot be read: {error}"))
        return []
    source, found = load(str(file), text)
    findings += found
    if source is None:
        return []
    data = source.data
    if not isinstance(data, dict) or not isinstance(data.get("rules"), list):
        where = source.at(("rules",))
        findings.append(
            Finding(str(file), *where, "format", "a rule file has `version: 1` and a list of `rules`")
        )
        return []
    if type(data.get("version")) is not int or data["version"] != 1:
        findings.append(Finding(str(file), *source.at(("version",)), "format", "`version: 1` is expected"))
    for key in data.keys() - {"version", "rules"}:
        findings.append(
            Finding(
                str(file),
                *source.at((key,)),
                "unknown-key",
                f"unknown key `{key}`",
                "a file has version, rules",
            )
        )
    models = [
        _Rule(source, ("rules", i), item, group_by, places, findings).check()
        for i, item in enumerate(data["rules"])
    ]
    return [model for model in models if model is not None]


class _Rule:
    """The checks of one rule; each is made whatever the others found."""

    def __init__(
        self,
        source: Source,
        path: Path_,
        item: Any,
        group_by: Sequence[str],
        places: dict[str, Place],
        findings: list[Finding],
    ) -> None:
        self.source, self.path, self.item = source, path, item
        self.group_by, self.places, self.findings = group_by, places, findings
        self.name = item["id"] if isinstance(item, dict) and isinstance(item.get("id"), str) else ""
        self.kind = kind_of(item)

    def check(self) -> RuleModel | None:
        """Report everything that is wrong; the rule, unless it does not have the shape of one."""
        if not isinstance(self.item, dict):
            self._note((), "format", "a rule is a mapping of keys")
            return None
        model: RuleModel | None = None
        try:
            model = parse_rule(self.item)
        except ValidationError as error:
            for problem in error.errors():
                self._shape(problem)
        self._identity()
        for key, scope in self.kind.conditions.items():
            self._condition(key, scope)
        for remark in self.kind.remarks(self.item, self.group_by):
            self._note(remark.path, remark.code, remark.message, remark.hint, remark.severity)
        return model

    def _note(self, path: Path_, code: str, message: str, hint: str = "", severity: str = "error") -> None:
        where = self.source.at((*self.path, *path))
        self.findings.append(Finding(self.source.file, *where, code, message, hint, severity, self.name))

    def _shape(self, problem: Any) -> None:
        path = tuple(part for part in problem["loc"] if isinstance(part, str | int))
        key = ".".join(str(part) for part in path)
        if problem["type"] == "extra_forbidden":
            self._note(path, "unknown-key", f"unknown key `{key}`", self._meant(path))
        elif problem["type"] == "missing":
            self._note(path, "missing-key", f"`{key}` is required in a {self.kind.name} rule{self._told()}")
        else:
            self._note(path, "wrong-value", f"`{key}`: {str(problem['msg']).removeprefix('Value error, ')}")

    def _told(self) -> str:
        """By what the rule was taken for one of its kind."""
        if self.kind.key in self.item:
            return f" (it has `{self.kind.key}`)"
        return "; " + ", ".join(
            f"a {kind.name} rule has `{kind.key}`" for kind in KINDS if kind is not self.kind
        )

    def _meant(self, path: Path_) -> str:
        """What an unknown key may be meant for."""
        key, names = str(path[-1]), known_keys(self.kind.model, path[:-1])
        others = [
            kind.name for kind in KINDS if kind is not self.kind and len(path) == 1 and key in kind.keys
        ]
        if others:
            return f"only {' and '.join(others)} rules have it"
        close = get_close_matches(key, names, 1)
        return f"did you mean `{close[0]}`?" if close else f"there are: {', '.join(names)}" if names else ""

    def _identity(self) -> None:
        if not self.name:
            return
        line, column = self.source.at((*self.path, "id"))
        if self.name in self.places:
            first = self.places[self.name]
            self._note(
                ("id",),
                "duplicate-id",
                f"rule `{self.name}` is defined twice",
                f"first in {first[0]}:{first[1]}",
            )
            return
        self.places[self.name] = (self.source.file, line, column)
        tests = self.item.get("tests")
        number = 0
        for key in ("match", "no_match"):
            for index in range(
                len(tests[key]) if isinstance(tests, dict) and isinstance(tests.get(key), list) else 0
            ):
                number += 1
                line, column = self.source.at((*self.path, "tests", key, index))
                self.places[f"{self.name}#{number}"] = (self.source.file, line, column)

    def _condition(self, key: str, scope: Literal["trace", "measure"]) -> None:
        text = self.item.get(key)
        if not isinstance(text, str):
            return
        try:
            compile_condition(text, kind=scope)
        except ConditionError as error:
            for one in error.findings:
                place = self.source.inside((*self.path, key), one.line, one.column)
                self.findings.append(
                    Finding(
                        self.source.file, *place, one.code, one.message, one.hint, one.severity, self.name
                    )
                )


def known_keys(model: type[BaseModel], path: Path_) -> list[str]:
    """The keys that a rule file may have at a path inside a model; none where any may be."""
    for part in path:
        if isinstance(part, str):
            found = next(
                (info for name, info in model.model_fields.items() if part in (name, info.alias)), None
            )
            inner = _model_in(found.annotation) if found else None
            if inner is None:
                return []
            model = inner
    return [info.alias or name for name, info in model.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model in ``Model | None`` or ``list[Model]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for one in get_args(annotation) if (found := _model_in(one))), None)
