"""The page around its sections: one file, no script, nothing loaded, light and dark, fit to be printed."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from xml.etree.ElementTree import Element

from tracesieve.pages.elements import element, written


def page(title: str, *content: Element | None, subtitle: str = "") -> str:
    """The whole page as text, to be written as UTF-8."""
    style = files(__package__).joinpath("style.css").read_text(encoding="utf-8")
    head = element(
        "head",
        # Nothing may run or be loaded, whatever got into the page: only this one style sheet is allowed.
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_policy(style)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", title),
        _style(style),
    )
    top = element("header", element("h1", title), element("p", subtitle) if subtitle else None)
    body = element("body", top, element("main", *content))
    return "<!doctype html>\n" + written(element("html", head, body, lang="en")) + "\n"


def _policy(style: str) -> str:
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def _style(text: str) -> Element:
    """The style sheet byte by byte: its digest stands in the policy."""
    made = Element("style")
    made.text = text
    return made
