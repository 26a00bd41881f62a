"""What can be known of a block without running it: each check gives the faults that it finds, as texts."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import yaml
from support.doc_blocks import ROOT, SAYS_DRAWING, Block
from support.servers import needs

from sinks.prometheus.families import FAMILIES
from tracesieve.cli import cli
from tracesieve.config.loading import load_settings
from tracesieve.config.settings import OWN_FIELDS, settings_model
from tracesieve.errors import ConfigError

# Programs that a page may call, besides ours: what people have, or what a page says how to get.
PROGRAMS = {
    *(
        "amtool",
        "cd",
        "cp",
        "curl",
        "docker",
        "echo",
        "git",
        "kubectl",
        "mkdir",
        "mlflow",
        "pip",
        "prometheus",
    ),
    *(
        "prometheus-alertmanager",
        "promtool",
        "python",
        "python3.11",
        "sudo",
        "systemctl",
        "uv",
        "source",
        "export",
    ),
    *(
        "head",
        "journalctl",
        "grep",
        "sleep",
        "kill",
        "useradd",
        "install",
        "apt-get",
        "systemd-analyze",
        "eval",
    ),
}
_ENDS = {"|", "||", "&&", ";", "&"}
_A_SERVER = {"kind": "mlflow", "tracking_uri": "http://127.0.0.1:5000", "experiments": ["support"]}
_KEYWORDS = {"until", "while", "if", "then", "do", "done", "fi"}


def faults(block: Block) -> list[str]:
    """All that is wrong with a block.

    Raises:
        KeyError: no check takes its language.
    """
    return list(CHECKS[block.language](block))


def commands(script: str) -> Iterator[list[str]]:
    """The simple commands of a shell script, as words; what redirects stays among them."""
    for line in script.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if word not in _ENDS:
                words += [] if not words and word in _KEYWORDS else [word]
            elif words:
                yield words
                words = []


def command_fault(words: list[str]) -> str | None:
    """What our own command line has against a command that begins with ``tracesieve``; nothing is done."""
    words = words[: next((at for at, word in enumerate(words) if word in (">", ">>", "2>", "<")), len(words))]
    context, command, rest = click.Context(cli), cli, words[1:]
    try:
        while isinstance(command, click.Group):
            if rest[0].startswith("-"):
                return None  # tracesieve --version
            found = command.get_command(context, rest[0])
            if found is None:
                return f"there is no command {' '.join(words)!r}"
            command, rest = found, rest[1:]
        command.make_context(" ".join(words), list(rest))
    except click.exceptions.Exit:
        return None  # --help
    except (click.ClickException, IndexError) as error:
        return f"{' '.join(words)}: {error}"
    return None


def shell_faults(block: Block) -> Iterator[str]:
    """Syntax, programs that nobody introduced, our commands' options, targets of make."""
    done = subprocess.run(["bash", "-n"], input=block.typed, capture_output=True, text=True, timeout=20)
    if done.returncode:
        yield done.stderr
        return
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for words in commands(block.typed):
        while re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words = words[1:]
        program, arguments = words[0], words[1:]
        if program == "tracesieve" and (fault := command_fault(words)):
            yield fault
        elif program == "make":
            yield from (f"make {one}" for one in arguments if "=" not in one and one not in targets)
        elif program not in PROGRAMS | {"tracesieve"}:
            yield f"{program}: no program that these pages introduce"


def python_faults(block: Block) -> Iterator[str]:
    """Syntax, and every name that is imported."""
    try:
        tree = ast.parse(block.text)
    except SyntaxError as error:
        yield str(error)
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (
                f"no module {one.name}" for one in node.names if importlib.util.find_spec(one.name) is None
            )
        elif isinstance(node, ast.ImportFrom) and node.module:
            module = importlib.import_module(node.module)
            yield from (
                f"no {node.module}.{one.name}"
                for one in node.names
                if not hasattr(module, one.name) and _is_no_module(f"{node.module}.{one.name}")
            )


def _is_no_module(name: str) -> bool:
    """Whether there is no such module; one that nobody has imported yet is no attribute of its package."""
    try:
        return importlib.util.find_spec(name) is None
    except ModuleNotFoundError:  # what it would be in is no package
        return True


def promql_faults(block: Block) -> Iterator[str]:
    """Each expression as promtool sees it, and metrics of ours that are not there."""
    lines = [line for line in block.text.splitlines() if line.strip() and not line.startswith("#")]
    records = [{"record": f"one:{at}", "expr": line} for at, line in enumerate(lines)]
    yield from _promtool("rules", {"groups": [{"name": "page", "rules": records}]})
    yield from unknown_metrics(block.text)


def unknown_metrics(text: str) -> Iterator[str]:
    """Metrics that are named as ours and are in no family."""
    known = {
        one.name + end for one in FAMILIES for end in ("", "_total", "_bucket", "_sum", "_count", "_created")
    }
    found = set(re.findall(r"\btracesieve_[a-z_]+\b(?!\s*:)", text))
    yield from (f"no metric {name}" for name in sorted(found - known))


def yaml_faults(block: Block) -> Iterator[str]:
    """What the program that it is for says of it; its keys at the top tell which one that is."""
    try:
        documents = [one for one in yaml.safe_load_all(block.text) if one is not None]
    except yaml.YAMLError as error:
        yield str(error)
        return
    for document in documents:
        yield from _loader(document)(block.text, document)


def text_faults(block: Block) -> Iterator[str]:
    """A picture is named as one by the line before it."""
    if not SAYS_DRAWING.search(block.before):
        yield "a block of text: the line before it must say that it is a picture"


def _loader(document: Any) -> Callable[[str, Any], Iterator[str]]:
    """Who loads such a document."""
    if isinstance(document, list) and all(isinstance(one, dict) and "expr" in one for one in document):
        return _prometheus_rules
    keys = set(document) if isinstance(document, dict) else set()
    if keys == {"version", "rules"}:
        return _rule_file
    if keys == {"groups"}:
        return lambda text, found: _promtool("rules", found)
    if keys & {"scrape_configs", "alerting", "rule_files"}:
        return lambda text, found: _promtool("config", found)
    if keys & {"route", "receivers"}:
        return _alertmanager
    if keys and keys <= set(settings_model().model_fields) - OWN_FIELDS:
        return _config
    return lambda text, found: iter([f"no program takes YAML with the keys {sorted(keys)}"])


def _config(text: str, document: Any) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tracesieve.yaml"
        if "kind" not in (source := document.get("source", {})):  # a part of a config
            file.write_text(yaml.safe_dump({**document, "source": {**_A_SERVER, **source}}))
        else:
            file.write_text(text)
        try:
            load_settings(file)
        except ConfigError as error:
            yield str(error)


def _rule_file(text: str, document: Any) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rules.yaml"
        file.write_text(text)
        from click.testing import CliRunner

        for command in ("lint", "test"):
            done = CliRunner().invoke(cli, ["rules", command, str(file)])
            if done.exit_code:
                yield f"rules {command}: {done.output} {done.exception}"


def _prometheus_rules(text: str, document: Any) -> Iterator[str]:
    yield from _promtool("rules", {"groups": [{"name": "page", "rules": document}]})
    yield from unknown_metrics(text)


def _promtool(what: str, document: Any) -> Iterator[str]:
    options = ["--syntax-only"] if what == "config" else []
    yield from _said([needs("promtool"), "check", what, *options], document)


def _alertmanager(text: str, document: Any) -> Iterator[str]:
    yield from _said([needs("amtool"), "check-config"], document)


def _said(command: list[str], document: Any) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "checked.yml"
        file.write_text(yaml.safe_dump(document))
        done = subprocess.run([*command, str(file)], capture_output=True, text=True, timeout=60)
        if done.returncode:
            yield done.stdout + done.stderr


CHECKS: dict[str, Callable[[Block], Iterator[str]]] = {
    "sh": shell_faults,
    "console": shell_faults,
    "python": python_faults,
    "yaml": yaml_faults,
    "promql": promql_faults,
    "text": text_faults,
}
