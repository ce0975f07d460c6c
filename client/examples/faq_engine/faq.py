"""The entries of a list of frequently asked questions, and their file: JSONL, which `paravec-model index` reads too.

    {"question": "...", "answer": "...", "category": "...", "url": "https://..."}

`category` and `url` are optional. An empty line (two \\n) separates the paragraphs of an answer. A question is its
entry's id, so no two are the same.
"""

import json
from collections.abc import Iterable
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


def by_category(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """The entries of each category, in the file's order."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.category, []).append(entry)
    return groups


def read(file: Path) -> tuple[Entry, ...]:
    """Read the entries; FaqError if the file cannot be read or is malformed."""
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise FaqError(f"{file}: {getattr(error, 'strerror', None) or error}") from error
    entries: dict[str, Entry] = {}
    for number, line in enumerate(lines, 1):
        if line.strip():
            entry = _entry(line, f"{file}:{number}")
            if entry.question in entries:
                raise FaqError(f"{file}:{number} asks again: {entry.question!r}")
            entries[entry.question] = entry
    if not entries:
        raise FaqError(f"{file}: has no entries")
    return tuple(entries.values())


def _entry(line: str, where: str) -> Entry:
    names = ("question", "answer", "category", "url")
    try:
        given: Any = json.loads(line)
    except ValueError as error:
        raise FaqError(f"{where} is not JSON: {error}") from error
    if not isinstance(given, dict) or any(not isinstance(given.get(name, ""), str) for name in names):
        raise FaqError(f"{where} must have a question and an answer, and may have a category and a url, all texts")
    # The question as it is, because the index has it as id.
    entry = Entry(*(given.get(name, "") for name in names))
    if not entry.question.strip() or not entry.answer.strip():
        raise FaqError(f"{where} has no {'answer' if entry.question.strip() else 'question'}")
    if entry.url and not entry.url.startswith(("https://", "http://")):
        raise FaqError(f"{where}: url must begin with https:// or http://")
    return entry
