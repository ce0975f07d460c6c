"""Finds dead links in the built site and in the pages of the repository's root, and assets on other hosts.

python docs/check_links.py build/site README.md ...
"""

import re
import sys
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from markdown_it import MarkdownIt

_ASSETS = {"link", "script", "img", "source", "iframe"}


class _Page(HTMLParser):
    """The anchors of an HTML page, and its links with the tag that holds each."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.anchors |= {given[name] or "" for name in ("id", "name") if name in given}
        self.links += [(tag, given[name] or "") for name in ("href", "src") if name in given]


@cache
def _page(path: Path) -> _Page:
    text = path.read_text()
    return _Page(_html(text) if path.suffix == ".md" else text)


def _html(markdown: str) -> str:
    """The page as a host of repositories shows it: each heading is an anchor."""
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown)
    return re.sub(r"<h([1-6])>(.*?)</h\1>", lambda found: f'<h{found[1]} id="{_slug(found[2])}">', html)


def _slug(heading: str) -> str:
    text = re.sub(r"<[^>]*>", "", heading).lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def problems(path: Path) -> Iterator[str]:
    """What is wrong with the links of a page."""
    for tag, link in _page(path).links:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            if tag in _ASSETS and parts.scheme != "data":
                yield f"{path}: takes {link} from another host"
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        if target.is_dir() and path.suffix == ".html":
            target /= "index.html"
        if not target.exists():
            yield f"{path}: {link} does not exist"
        elif parts.fragment and target.suffix in (".html", ".md") and parts.fragment not in _page(target).anchors:
            yield f"{path}: {link} names no heading of {target.name}"


def main(names: list[str]) -> int:
    """1 if a link of the pages, or of the pages of a folder, is dead."""
    pages = [page for name in map(Path, names) for page in (sorted(name.rglob("*.html")) if name.is_dir() else [name])]
    found = [problem for page in pages for problem in problems(page)]
    print(*found or [f"{len(pages)} pages, no dead link"], sep="\n")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
