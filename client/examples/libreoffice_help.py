"""Writes LibreOffice's help pages, as Debian packages them, to a JSONL corpus: libreoffice_help.py it|en-us|... FILE.

apt-get install libreoffice-help-it
python client/examples/libreoffice_help.py it help-it.jsonl
paravec-model train --jsonl help-it.jsonl --field text --tag-field page --output models/help-it
"""

import json
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

ROOT = Path("/usr/share/libreoffice/help")
"""Where the packages libreoffice-help-* put their pages."""


class HelpError(Exception):
    """The help of a language is not installed."""


class _PageParser(HTMLParser):
    """Collects the text of the elements that hold a help page's prose."""

    _BLOCKS = frozenset(("title", "h1", "h2", "h3", "h4", "h5", "h6", "p", "td", "th", "li"))
    _SKIPPED = frozenset(("script", "style", "pre"))

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._block_depth = 0
        self._skipped_depth = 0

    def handle_starttag(self, tag: str, _attributes: Any) -> None:
        self._block_depth += tag in self._BLOCKS
        self._skipped_depth += tag in self._SKIPPED
        if tag == "br" or tag in self._BLOCKS:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self._skipped_depth = max(0, self._skipped_depth - (tag in self._SKIPPED))
        if tag in self._BLOCKS:
            self._block_depth = max(0, self._block_depth - 1)
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if self._block_depth and not self._skipped_depth:
            self.parts.append(data.replace("\n", " "))


def page_text(html: str) -> str:
    """Title, headings, paragraphs, table cells and list items of a help page, one a line."""
    parser = _PageParser()
    # The parser is slow, and menus and scripts are most of a page: they are cut off first.
    head, _, rest = html.partition('<div id="DisplayArea"')
    start = head.find("<title")
    if start >= 0:
        parser.feed(head[start : head.find("</title>", start)] + "</title>")
    parser.feed("<div" + rest.partition('<div id="SearchFrame"')[0])
    parser.close()
    lines = (" ".join(line.split()) for line in "".join(parser.parts).split("\n"))
    return "\n".join(line for line in lines if line)


def pages(language: str, root: Path = ROOT) -> Iterator[tuple[str, str]]:
    """Path and text of each page, sorted by path. `language`: as in the package's name, for example it or en-us."""
    folder = root / {"en-us": "en-US"}.get(language, language) / "text"
    files = sorted(folder.rglob("*.html"))
    if not files:
        raise HelpError(f"no pages in {folder}; install them: apt-get install libreoffice-help-{language}")
    for file in files:
        if text := page_text(file.read_text(encoding="utf-8")):
            yield file.relative_to(folder).as_posix(), text


def main() -> int:
    """Write the file; returns the exit status."""
    if len(sys.argv) != 3:
        print("usage: python libreoffice_help.py LANGUAGE FILE", file=sys.stderr)
        return 2
    language, path = sys.argv[1:]
    try:
        lines = [json.dumps({"page": page, "text": text}) + "\n" for page, text in pages(language)]
        Path(path).write_text("".join(lines), encoding="ascii")
    except (HelpError, OSError) as error:
        print(f"libreoffice_help: {error}", file=sys.stderr)
        return 1
    print(f"{path}: {len(lines)} pages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
