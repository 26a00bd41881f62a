"""What a browser would see in a page: its tags with their attributes, and its texts."""

from __future__ import annotations

from html.parser import HTMLParser


class Read(HTMLParser):
    """The page, read; ``tags`` and ``texts`` in their order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
