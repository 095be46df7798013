"""Web pages as a test reads them: well formed, self-contained, and what they show."""

from __future__ import annotations

import re
from html.parser import HTMLParser

VOID = {"meta", "br", "img", "input", "hr", "link"}
NO_TEXT = {"style"}


class Page(HTMLParser):
    """A page, parsed strictly: every element is closed in its turn."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        self.ids += [value for name, value in attrs if name == "id" and value]
        assert len(dict(attrs)) == len(attrs), (tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in NO_TEXT:
            self.words.append(data)

    @property
    def text(self) -> str:
        """All text but style sheets."""
        return " ".join(" ".join(self.words).split())

    def assert_self_contained(self, source: str) -> None:
        """Assert that a browser needs nothing else: no address but of data inside, no script, no import."""
        for tag, name, value in self.attributes:
            assert not name.startswith("on"), (tag, name)
            if name in ("src", "href", "srcset", "action", "xlink:href"):
                assert value is not None
                assert value.startswith("data:image/png;base64,"), (tag, name, value[:80])
        assert not {"script", "link", "iframe", "object", "embed", "base"} & set(self.tags)
        without_pictures = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]*", "", source)
        for word in ("http:", "https:", "url(", "@import", "//"):
            assert word not in without_pictures, word
