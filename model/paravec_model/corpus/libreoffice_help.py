"""The prose of LibreOffice's help pages, without their menus, scripts and code."""

from html.parser import HTMLParser
from typing import Any


class _Page(HTMLParser):
    """Collects the text of the elements that hold a help page's prose."""

    _BLOCKS = frozenset(("title", "h1", "h2", "h3", "h4", "h5", "h6", "p", "td", "th", "li"))
    _SILENT = frozenset(("script", "style", "pre"))

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self._blocks = 0
        self._silent = 0

    def handle_starttag(self, tag: str, _attributes: Any) -> None:
        self._blocks += tag in self._BLOCKS
        self._silent += tag in self._SILENT
        if tag == "br" or tag in self._BLOCKS:
            self.pieces.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self._silent = max(0, self._silent - (tag in self._SILENT))
        if tag in self._BLOCKS:
            self._blocks = max(0, self._blocks - 1)
            self.pieces.append("\n")

    def handle_data(self, data: str) -> None:
        if self._blocks and not self._silent:
            self.pieces.append(data.replace("\n", " "))


def page_text(html: str) -> str:
    """Title, headings, paragraphs, table cells and list items of a LibreOffice help page, one a line."""
    page = _Page()
    # Cut first: menus and scripts are most of a page, and the parser is slow.
    head, _, rest = html.partition('<div id="DisplayArea"')
    start = head.find("<title")
    if start >= 0:
        page.feed(head[start : head.find("</title>", start)] + "</title>")
    page.feed("<div" + rest.partition('<div id="SearchFrame"')[0])
    page.close()
    lines = (" ".join(line.split()) for line in "".join(page.pieces).split("\n"))
    return "\n".join(line for line in lines if line)
