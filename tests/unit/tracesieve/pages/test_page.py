"""The page around its content: one file that loads and runs nothing."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files

from tracesieve.pages import page as module
from tracesieve.pages.page import page


def test_the_policy_allows_this_style_sheet_and_nothing_else() -> None:
    made = page("Report")
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', made)
    style = re.search(r"<style>(.*?)</style>", made, re.DOTALL)
    assert policy is not None and style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policy[1] == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    assert made.index("Content-Security-Policy") < made.index("<style>")


def test_the_page_loads_nothing() -> None:
    style = files(module.__package__ or "").joinpath("style.css").read_text()
    assert "url(" not in style and "@import" not in style and "<" not in style
    assert not re.search(r"\b(src|href|style)=", page("Report"))


def test_it_knows_dark_and_paper() -> None:
    made = page("Report", subtitle="a day")
    assert "prefers-color-scheme: dark" in made and "@media print" in made
    assert made.startswith('<!doctype html>\n<html lang="en">')
    assert "<title>Report</title>" in made and "<h1>Report</h1><p>a day</p>" in made
