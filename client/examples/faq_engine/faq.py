"""The list of frequently asked questions, and its file format.

    {"title": "...", "language": "en", "entries": [
        {"question": "...", "answer": "...", "category": "...", "url": "https://..."}]}

`category` and `url` are optional. An empty line separates the paragraphs of an answer.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class FaqError(Exception):
    """The file cannot be read or is malformed; one line that says where."""


@dataclass(frozen=True)
class Entry:
    """A question with its answer."""

    question: str
    answer: str
    category: str = ""
    """The subject, in a word or two."""
    url: str = ""
    """A page with more about it."""


@dataclass(frozen=True)
class Faq:
    """A list of frequently asked questions."""

    title: str
    language: str
    """The language of the page: en or it."""
    entries: tuple[Entry, ...]

    def by_category(self) -> dict[str, list[Entry]]:
        """The entries of each category, in the file's order."""
        groups: dict[str, list[Entry]] = {}
        for entry in self.entries:
            groups.setdefault(entry.category, []).append(entry)
        return groups


def read(file: Path) -> Faq:
    """Read an FAQ; FaqError if the file cannot be read or is malformed."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise FaqError(f"{file}: {error.strerror or error}") from error
    except ValueError as error:
        raise FaqError(f"{file}: is not JSON: {error}") from error
    entries = content.get("entries") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not entries:
        raise FaqError(f'{file}: has no list of "entries"')
    made = tuple(_entry(entry, f"{file}: entries[{i}]") for i, entry in enumerate(entries))
    title, language = content.get("title", "FAQ"), content.get("language", "en")
    if not isinstance(title, str) or language not in ("en", "it"):
        raise FaqError(f'{file}: "title" must be a text, and "language" en or it')
    return Faq(title, language, made)


def _entry(given: Any, where: str) -> Entry:
    names = ("question", "answer", "category", "url")
    if not isinstance(given, dict) or any(not isinstance(given.get(name, ""), str) for name in names):
        raise FaqError(f"{where} must have a question and an answer, and may have a category and a url, all texts")
    entry = Entry(*(given.get(name, "").strip() for name in names))
    if not entry.question or not entry.answer:
        raise FaqError(f"{where} has no {'answer' if entry.question else 'question'}")
    if entry.url and not entry.url.startswith(("https://", "http://")):
        raise FaqError(f"{where}: url must begin with https:// or http://")
    return entry
