"""Loading rule packs: shipped names, files and folders into one checked set of rules.

All that is wrong is reported at once, each fault with its place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rules.diagnostics import Diagnostic, Place, errors_among, errors_first
from rules.groups import raw_columns
from rules.kinds import all_kinds
from rules.loading.rule_check import RuleCheck
from rules.loading.yaml_file import YamlFile, load
from rules.rule_set import RuleModel, RuleSet, build_rule_set

SHIPPED = Path(__file__).parents[1] / "packs"


@dataclass
class Loaded:
    """What came of a load: the set of rules, unless there is an error, and all diagnostics."""

    rule_set: RuleSet | None = None
    diagnostics: list[Diagnostic] = field(default_factory=list)
    places: dict[str, Place] = field(default_factory=dict)  # by the id of a rule
    test_places: dict[tuple[str, int], Place] = field(default_factory=dict)  # by id and number, from 1

    @property
    def errors(self) -> list[Diagnostic]:
        """The diagnostics that stop a load."""
        return errors_among(self.diagnostics)


def load_packs(entries: Sequence[str | Path], group_by: Sequence[str], base_dir: str | Path = ".") -> Loaded:
    """Load rule files; an entry is a shipped pack's name (``packs/default``), a file, or a folder of
    ``*.yaml``.

    The rules of the set stand in the order of entries and files, those of shipped packs after all others.
    """
    loaded = Loaded(diagnostics=list(_unknown_keys(group_by)))
    files: list[Path] = []
    for entry in entries:
        found = rule_files(entry, Path(base_dir))
        if not found:
            loaded.diagnostics.append(_no_file(entry, "there is no such pack, file or folder of *.yaml"))
        files += [file for file in found if file not in files]
    own: list[RuleModel] = []
    shipped: list[RuleModel] = []
    for file in files:
        before = len(loaded.diagnostics)
        models = shipped if file.resolve().parent == SHIPPED.resolve() else own
        models += _load_file(file, group_by, loaded)
        of_file = loaded.diagnostics[before:]
        loaded.diagnostics[before:] = sorted(of_file, key=lambda one: (one.line, one.column))
    loaded.diagnostics = errors_first(loaded.diagnostics)
    if not loaded.errors:
        loaded.rule_set = build_rule_set([*own, *shipped])
    return loaded


def _unknown_keys(group_by: Sequence[str]) -> Iterator[Diagnostic]:
    for key in group_by:
        try:
            raw_columns(key)
        except ValueError as error:
            yield Diagnostic("group-key", str(error)).at(Place("group_by", 1, 1))


def _no_file(name: str | Path, message: str) -> Diagnostic:
    return Diagnostic("no-file", message).at(Place(str(name), 1, 1))


def rule_files(entry: str | Path, base: Path) -> list[Path]:
    """The files that one entry names; none where there is no such pack, file or folder."""
    name = str(entry).removeprefix("packs/")
    path = base / entry
    if path.is_dir():
        return sorted([*path.glob("*.yaml"), *path.glob("*.yml")])
    if path.is_file():
        return [path]
    shipped = SHIPPED / f"{name}.yaml"
    return [shipped] if Path(name).name == name and shipped.is_file() else []


def _load_file(path: Path, group_by: Sequence[str], loaded: Loaded) -> list[RuleModel]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        loaded.diagnostics.append(_no_file(path, f"cannot be read: {error}"))
        return []
    file, faults = load(str(path), text, {key for kind in all_kinds() for key in kind.conditions})
    loaded.diagnostics += faults
    if file is None:
        return []
    loaded.diagnostics += _format(file)
    items = file.data.get("rules") if isinstance(file.data, dict) else None
    if not isinstance(items, list):
        return []
    models = []
    for index, item in enumerate(items):
        check = RuleCheck(file, ("rules", index), item, group_by)
        models.append(check.run(loaded.places, loaded.test_places))
        loaded.diagnostics += check.diagnostics
    return [model for model in models if model is not None]


def _format(file: YamlFile) -> Iterator[Diagnostic]:
    """What is wrong with the file as a whole."""
    data = file.data
    if not isinstance(data, dict) or not isinstance(data.get("rules"), list):
        message = "a rule file has `version: 1` and a list of `rules`"
        yield Diagnostic("format", message).at(file.place(("rules",)))
        return
    if type(data.get("version")) is not int or data["version"] != 1:
        yield Diagnostic("format", "`version: 1` is expected").at(file.place(("version",)))
    for key in data.keys() - {"version", "rules"}:
        fault = Diagnostic("unknown-key", f"unknown key `{key}`", "a file has version, rules")
        yield fault.at(file.place((key,)))
