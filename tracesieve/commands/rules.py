"""``tracesieve rules``: check rule files, run the tests they carry, list them, print their JSON schema.
Starts no Java.

Without a config the rules given, else the default pack, are used with the default ``group_by``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rules.diagnostics import Diagnostic, errors_among, errors_first
from tracesieve.commands.rules_scorecard import command as scorecard
from tracesieve.json_output import echo_json
from tracesieve.terminal import plain, pointed, wrapped

if TYPE_CHECKING:
    from rules.loading.packs import Loaded
    from rules.rule_set import Rule

DEFAULT_CONFIG = "tracesieve.yaml"


@click.group(name="rules")
def rules() -> None:
    """Lint, test and list rule files, and see how the rules did."""


rules.add_command(scorecard)


def _options(function: Any) -> Any:
    function = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(function)
    function = click.option(
        "-c", "--config", help=f"The config file (default: {DEFAULT_CONFIG}, if there is one)."
    )(function)
    return click.argument("paths", nargs=-1, metavar="[PATH]…")(function)


@rules.command()
@_options
def lint(paths: tuple[str, ...], config: str | None, as_json: bool) -> None:
    """Report everything that is wrong in rule files, each with its place."""
    loaded = _load(paths, config)
    count = len(loaded.places)
    if as_json:
        _print_json(
            {
                "ok": not loaded.errors,
                "rules": count,
                "findings": [one.as_json() for one in loaded.diagnostics],
            }
        )
    else:
        _print(loaded.diagnostics)
        errors = len(loaded.errors)
        click.echo(f"{count} rules, {errors} errors, {len(loaded.diagnostics) - errors} warnings", err=True)
    sys.exit(1 if loaded.errors else 0)


@rules.command()
@_options
def test(paths: tuple[str, ...], config: str | None, as_json: bool) -> None:
    """Run the tests that rules carry, through the matcher that live traces go through."""
    from rules.loading.rule_tests import run_tests

    loaded = _load(paths, config)
    diagnostics, results = list(loaded.diagnostics), []
    ran = failed = 0
    for rule in loaded.rule_set.trace_rules if loaded.rule_set else ():
        failures = run_tests(rule)
        results.append(
            {"rule": rule.id, "tests": len(rule.tests), "failed": [failure.number for failure in failures]}
        )
        ran, failed = ran + len(rule.tests), failed + len(failures)
        for failure in failures:
            wrong = "should match and does not" if failure.expected else "should not match and does"
            fault = Diagnostic("test-failed", f"rule `{rule.id}`: this trace {wrong}", failure.why)
            diagnostics.append(fault.at(loaded.test_places[rule.id, failure.number], rule.id))
    ok = loaded.rule_set is not None and not errors_among(diagnostics)
    if as_json:
        found = [one.as_json() for one in errors_first(diagnostics)]
        _print_json({"ok": ok, "tests": ran, "failed": failed, "rules": results, "findings": found})
    else:
        _print(errors_first(diagnostics))
        click.echo(
            f"{ran} tests, {failed} failed" if loaded.rule_set else "not tested: the rules have errors",
            err=True,
        )
    sys.exit(0 if ok else 1)


@rules.command(name="list")
@_options
def list_(paths: tuple[str, ...], config: str | None, as_json: bool) -> None:
    """List the rules that would be in force."""
    loaded = _load(paths, config)
    if loaded.rule_set is None:
        if as_json:
            found = [one.as_json() for one in loaded.diagnostics]
            _print_json({"ok": False, "rules": [], "findings": found})
        else:
            _print(loaded.diagnostics)
        sys.exit(1)
    rows = [_row(rule, loaded) for rule in loaded.rule_set.rules]
    if as_json:
        _print_json({"ok": True, "hash": loaded.rule_set.hash, "rules": rows, "findings": []})
        return
    for row in rows:
        about = f"({row['kind']}, {row['severity']}, tag {row['tag'] or '-'}, {row['tests']} tests)"
        click.echo(wrapped(f"{row['id']} {about}", hang=4))
        click.echo(wrapped(row["condition"], "    "))
        if row["settings"]:
            shown = "; ".join(f"{name}: {value}" for name, value in row["settings"].items())
            click.echo(wrapped(shown, "    "))
        if row["points_to"]:
            click.echo(wrapped(f"usually points to: {row['points_to']}", "    "))


@rules.command()
@click.option("--json", "as_json", is_flag=True, help="Accepted for symmetry: the schema is JSON anyway.")
@click.option("--markdown", is_flag=True, help="Print the reference of keys and fields in Markdown instead.")
def schema(as_json: bool, markdown: bool) -> None:
    """Print the JSON schema of a rule file, for editors."""
    from rules.loading.reference import rules_reference
    from rules.loading.schema import rule_schema

    if markdown:
        click.echo(rules_reference(), nl=False)
        return
    _print_json(rule_schema())


def _load(paths: tuple[str, ...], config: str | None) -> Loaded:
    from rules.groups import DEFAULT_GROUP_BY
    from rules.loading.packs import load_packs

    entries: list[str] = list(paths)
    group_by: tuple[str, ...] = DEFAULT_GROUP_BY
    base = "."
    if config is not None or Path(DEFAULT_CONFIG).is_file():
        from tracesieve.config.loading import load_settings

        settings = load_settings(config or DEFAULT_CONFIG)
        group_by = settings.group_by
        if not paths:
            entries, base = settings.rules, settings.base_dir
    loaded = load_packs(entries or ["packs/default"], group_by, base)
    if missing := [one for one in loaded.diagnostics if one.code == "no-file"]:
        raise click.UsageError("\n".join(f"{one.file}: {one.message}" for one in missing))
    return loaded


def _row(rule: Rule, loaded: Loaded) -> dict[str, Any]:
    file, line, _ = loaded.places[rule.id]
    return {
        "id": rule.id,
        "kind": rule.kind,
        "severity": rule.severity,
        "tag": rule.category,
        "condition": rule.condition_text,
        "settings": rule.settings,
        "points_to": rule.points_to,
        "hash": rule.hash,
        "tests": len(rule.tests),
        "file": file,
        "line": line,
    }


def _print(diagnostics: list[Diagnostic]) -> None:
    """A line for each; on a terminal also the line of the file, with a caret under the place."""
    lines: dict[str, list[str]] = {}
    for one in diagnostics:
        click.echo(plain(" ".join(str(one).split("\n"))))
        if not sys.stdout.isatty() or not one.line:
            continue
        if one.file not in lines:
            lines[one.file] = _lines(Path(one.file))
        if one.line <= len(lines[one.file]):
            click.echo("\n".join(pointed(lines[one.file][one.line - 1], one.column)))


def _lines(file: Path) -> list[str]:
    """The lines of a rule file, as they are counted in places; none if it cannot be read (any more)."""
    try:
        return file.read_text(encoding="utf-8").removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    except (OSError, UnicodeDecodeError):
        return []


def _print_json(document: dict[str, Any]) -> None:
    echo_json(document, indent=2)


command = rules
