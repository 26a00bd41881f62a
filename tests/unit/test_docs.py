"""What the docs name is there: files, links, commands, tables and metric families."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from sinks.prometheus.families import FAMILIES
from store.schemas import TABLES
from tracesieve.cli import cli

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
OUR_FILE = re.compile(r"`((?:rules|store|streams|sinks|tracesieve|tests|benchmarks|docs|deploy)/[\w./*-]*)`")
# Rooms that ARCHITECTURE.md names for what is still to come.
TO_COME = {"tracesieve/export/", "tracesieve/web/"}


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_files_and_links_that_a_page_names_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = {link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link}
    assert [link for link in links if link and not (page.parent / link).exists()] == []
    named = {path for path in OUR_FILE.findall(text) if "NAME" not in path} - TO_COME
    assert [path for path in named if not list(ROOT.glob(path.rstrip("/")))] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_that_a_page_names_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8").partition("Not there yet")[0]
    context = click.Context(cli)
    for command, more in re.findall(r"(?:^|`)tracesieve ([a-z]+)(?: ([a-z|]+)\b)?", text, re.MULTILINE):
        assert command in cli.list_commands(context), command
        found = cli.get_command(context, command)
        if isinstance(found, click.Group) and more:
            assert set(more.split("|")) <= set(found.list_commands(context)), f"{command} {more}"


def test_every_table_is_in_operations_with_how_long_it_is_kept() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    section = page[page.index("| table |") : page.index("Change any of them")]
    kept = {
        table: cells[2].strip()
        for cells in (line.strip("|").split("|") for line in section.splitlines())
        for table in re.findall(r"`(\w+)`", cells[0])
    }
    assert set(kept) == set(TABLES)
    days = {table: int(found[1]) for table, text in kept.items() if (found := re.match(r"(\d+)d", text))}
    assert {table: TABLES[table].kept_days for table in days} == days
    assert {table for table, text in kept.items() if text == "for ever"} == {
        table for table, spec in TABLES.items() if spec.expires_by is None
    }


def test_every_metric_family_is_in_metrics() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    assert listed == {one.name + ("_total" if one.kind == "counter" else "") for one in FAMILIES}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_no_page_was_left_in_the_middle_of_a_merge(page: Path) -> None:
    assert not re.search(r"^(<{7} |>{7} |={7}$)", page.read_text(encoding="utf-8"), re.MULTILINE)
