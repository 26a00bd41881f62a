"""Loading packs: shipped names, files and folders into one checked set of rules, every finding with its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rules.errors import ConditionError, Finding
from rules.groups import raw_columns
from rules.model import Pack, TraceRuleModel, WindowRuleModel, build, build_pack, parse_rule
from rules.yaml_source import Source, load

SHIPPED = Path(__file__).parent / "packs"
Path_ = tuple[str | int, ...]


@dataclass
class Loaded:
    """What came of a load: the pack, if nothing in it is an error, and all findings."""

    pack: Pack | None
    findings: list[Finding] = field(default_factory=list)

    @property
    def errors(self) -> list[Finding]:
        """The findings that stop a load."""
        return [finding for finding in self.findings if finding.severity == "error"]


def load_pack(entries: Sequence[str | Path], group_by: Sequence[str], base_dir: str | Path = ".") -> Loaded:
    """Load rule files; an entry is a shipped pack's name (``packs/default``), a file, or a folder of ``*.yaml``."""
    findings: list[Finding] = []
    for key in group_by:
        try:
            raw_columns(key)
        except ValueError as error:
            findings.append(Finding("group_by", 1, 1, "group-key", str(error)))
    models: list[TraceRuleModel | WindowRuleModel] = []
    seen: dict[str, str] = {}
    for entry in entries:
        files = _files(entry, Path(base_dir))
        if not files:
            findings.append(Finding(str(entry), 1, 1, "no-file", "there is no such pack, file or folder of *.yaml"))
        for file in files:
            models += _load_file(file, group_by, seen, findings)
    ok = not any(finding.severity == "error" for finding in findings)
    return Loaded(build_pack(models) if ok else None, findings)


def _files(entry: str | Path, base: Path) -> list[Path]:
    shipped = SHIPPED / (Path(str(entry)).name.removesuffix(".yaml") + ".yaml")
    if str(entry).removeprefix("packs/") == Path(str(entry)).name and not str(entry).endswith(".yaml") and shipped.is_file():
        return [shipped]
    path = base / entry
    if path.is_dir():
        return sorted([*path.glob("*.yaml"), *path.glob("*.yml")])
    return [path] if path.is_file() else []


def _load_file(file: Path, group_by: Sequence[str], seen: dict[str, str], findings: list[Finding]) -> list[Any]:
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
    if not isinstance(data, dict) or data.get("version") != 1 or not isinstance(data.get("rules"), list):
        findings.append(Finding(str(file), 1, 1, "format", "a rule file has `version: 1` and a list of `rules`"))
        return []
    for key in set(data) - {"version", "rules"}:
        findings.append(Finding(str(file), *source.at((key,)), "unknown-key", f"unknown key `{key}`"))
    models = [_rule(source, index, item, group_by, seen, findings) for index, item in enumerate(data["rules"])]
    return [model for model in models if model is not None]


def _rule(
    source: Source, index: int, item: Any, group_by: Sequence[str], seen: dict[str, str], findings: list[Finding]
) -> TraceRuleModel | WindowRuleModel | None:
    path: Path_ = ("rules", index)
    if not isinstance(item, dict):
        findings.append(Finding(source.file, *source.at(path), "format", "a rule is a mapping of keys"))
        return None
    name = str(item.get("id", ""))
    try:
        model = parse_rule(item)
    except ValidationError as error:
        findings += [_shape(source, path, item, problem, name) for problem in error.errors()]
        _conditions(source, path, item, name, findings)
        return None
    if name in seen:
        line, column = source.at((*path, "id"))
        findings.append(Finding(source.file, line, column, "duplicate-id", f"rule `{name}` is defined twice",
                                f"first in {seen[name]}", rule=name))  # fmt: skip
    seen.setdefault(name, f"{source.file}:{source.at((*path, 'id'))[0]}")
    if _conditions(source, path, item, name, findings):
        build(model)
    if isinstance(model, WindowRuleModel):
        _window(source, path, model, group_by, findings)
    return model


def _shape(source: Source, path: Path_, item: dict[str, Any], problem: Any, rule: str) -> Finding:
    where: Path_ = (*path, *(part for part in problem["loc"] if isinstance(part, str | int)))
    key = ".".join(str(part) for part in problem["loc"])
    line, column = source.at(where)
    if problem["type"] == "extra_forbidden":
        return Finding(source.file, line, column, "unknown-key", f"unknown key `{key}`", rule=rule)
    if problem["type"] == "missing":
        kind = "a trace rule (it has `when`)" if "when" in item else "a window rule (a trace rule has `when`)"
        return Finding(source.file, line, column, "missing-key", f"`{key}` is required in {kind}", rule=rule)
    message = str(problem["msg"]).removeprefix("Value error, ")
    return Finding(source.file, line, column, "wrong-value", f"`{key}`: {message}", rule=rule)


def _conditions(source: Source, path: Path_, item: dict[str, Any], rule: str, findings: list[Finding]) -> bool:
    from rules.dialect import compile_condition

    ok = True
    for key, kind in (("when", "trace"), ("where", "trace"), ("fire", "measure"), ("clear", "measure")):
        if not isinstance(item.get(key), str):
            continue
        try:
            compile_condition(item[key], kind=kind)  # type: ignore[arg-type]
        except ConditionError as error:
            ok = False
            for found in error.findings:
                line, column = source.inside((*path, key), found.line, found.column)
                findings.append(Finding(source.file, line, column, found.code, found.message, found.mend, rule=rule))
    return ok


def _window(source: Source, path: Path_, model: WindowRuleModel, group_by: Sequence[str], findings: list[Finding]) -> None:
    line, column = source.at((*path, "window", "by"))
    for key in model.window.by:
        if key not in group_by:
            findings.append(Finding(source.file, line, column, "by", f"`{key}` is not in group_by",
                                    f"use some of {', '.join(group_by)}", rule=model.id))  # fmt: skip
    for name, value in (("size", model.window.size), ("every", model.window.every)):
        if value < 60_000_000 or value % 60_000_000:
            where = source.at((*path, "window", name))
            findings.append(Finding(source.file, *where, "window", f"`{name}` must be whole minutes", rule=model.id))
