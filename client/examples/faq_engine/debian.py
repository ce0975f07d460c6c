"""Writes an FAQ of the pages of Debian's packages debian-faq and debian-faq-it, if these are installed.

    python -m faq_engine.debian it faq.jsonl

The texts are read from the installed package; their copyright is their authors'.
"""

import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

ROOT = Path("/usr/share/doc/debian/FAQ")
"""Where the packages install their pages."""

_LANGUAGES = ("en", "it")
_NUMBER = re.compile(r"^[\d.]+\s*")
_BLOCKS = {"p", "pre", "li", "dt", "dd"}
_HEADINGS = {"h2", "h3"}


class _Sections(HTMLParser):
    """Collects the headings of a page and the paragraphs below each."""

    def __init__(self) -> None:
        super().__init__()
        self.sections: list[tuple[str, list[str]]] = []
        self._text: list[str] | None = None
        self._skipped = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Start a heading or a paragraph, except in a table of contents."""
        if tag == "div" and (self._skipped or ("class", "toc") in attrs):
            self._skipped += 1
        elif not self._skipped and tag in _HEADINGS | _BLOCKS:
            self._text = []

    def handle_data(self, data: str) -> None:
        """Add text to the heading or paragraph that is open."""
        if self._text is not None:
            self._text.append(data)

    def handle_endtag(self, tag: str) -> None:
        """Add the heading or paragraph that ends."""
        if tag == "div" and self._skipped:
            self._skipped -= 1
        elif self._text is not None and tag in _HEADINGS | _BLOCKS:
            text = " ".join("".join(self._text).split())
            if tag in _HEADINGS:
                self.sections.append((_NUMBER.sub("", text), []))
            elif text and self.sections:
                self.sections[-1][1].append(text)
            self._text = None


def entries(language: str) -> list[dict[str, str]]:
    """All questions and answers of a language's package. `language`: en or it."""
    folder, suffix = (ROOT / "it", ".it.html") if language == "it" else (ROOT, ".en.html")
    answers: dict[str, list[str]] = {}
    for page in sorted(folder.glob(f"*{suffix}")):
        if page.name.startswith(("index", "faqinfo")):
            continue
        parser = _Sections()
        parser.feed(page.read_text(encoding="utf-8"))
        for title, parts in parser.sections:
            if title and parts:
                # Two sections have the title of a program, and a question is an entry's id.
                answers.setdefault(title, []).extend(parts)
    return [{"question": title, "answer": "\n\n".join(parts)} for title, parts in answers.items()]


def main() -> int:
    """Write the file; returns the exit status."""
    if len(sys.argv) != 3 or sys.argv[1] not in _LANGUAGES:
        print("usage: python -m faq_engine.debian en|it FILE", file=sys.stderr)
        return 2
    language, file = sys.argv[1:]
    made = entries(language)
    if not made:
        package = "debian-faq-it" if language == "it" else "debian-faq"
        print(f"faq_engine.debian: no pages in {ROOT}; install them: apt-get install {package}", file=sys.stderr)
        return 1
    Path(file).write_text("".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in made), encoding="utf-8")
    print(f"{file}: {len(made)} entries")
    return 0


if __name__ == "__main__":
    sys.exit(main())
