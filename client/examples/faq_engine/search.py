"""The search for a question's entries, by a paravec server whose documents these are."""

import logging
import re
import time
from dataclasses import dataclass
from pathlib import Path

from paravec_client import AsyncEmbeddingClient, InferenceOptions, SimilarDocuments, UnsupportedError

from .faq import Entry, FaqError, read

# How often the file's modification time is checked.
_POLL_SECONDS = 1.0

# As many as a server gives by default (PARAVEC_MAX_TOP_K), because a score is relative to the average entry.
_NEIGHBOURS = 100

# How much the share of the question that an entry has counts beside the cosine: `python -m benchmarks.faq`. A fixed
# weight gives scores that mean the same for every question.
_LEXICAL_WEIGHT = 0.4

THRESHOLD = 12.0
"""The least percentage of an answer by default: the next half at which at most one in ten of the questions off
the subject is answered, by `python -m benchmarks.faq`."""

_OPTIONS = InferenceOptions(truncate=True)

_log = logging.getLogger(__name__)


class NotIndexedError(Exception):
    """The documents of the server's model are not the entries. The message is one line that says what to do."""


@dataclass(frozen=True)
class Match:
    """An entry that was found."""

    entry: Entry
    percent: float
    """0: no nearer to the question than the average entry; 100: the same as the question."""


@dataclass(frozen=True)
class Answer:
    """The result of a search."""

    matches: list[Match]
    """Best first; none below the threshold."""
    understood: bool
    """Whether the model or the entries have at least one of the question's words."""


class Search:
    """Searches the entries of a file among the documents of a server; an entry's id is its question."""

    def __init__(self, client: AsyncEmbeddingClient, file: Path, threshold: float) -> None:
        """`threshold`: the least percentage of a match. FaqError if the file cannot be read. Does not call the
        server."""
        self._client, self._file, self._threshold = client, file, threshold
        self._changed, self._checked = file.stat().st_mtime_ns, time.monotonic()
        self._said = ""
        self._take(read(file))

    async def ready(self) -> None:
        """Return if the server finds entries; otherwise NotIndexedError, or ParavecError if it does not answer."""
        await self._find(self.entries[0].question)

    async def search(self, question: str, limit: int) -> Answer:
        """At most `limit` entries for a question, best first; errors as of `ready`."""
        self._reload_if_changed()
        found = await self._find(question)
        known = self._known_share(question, found)
        scores = {entry: one.score for one in found.neighbours if (entry := self._by_question.get(one.tag))}
        # A question without a vector finds only entries that share a word. The score of the others is 0.
        average = sum(scores.values()) / min(len(self.entries), _NEIGHBOURS) if len(self.entries) > 1 else 0.0
        above = {entry: (score - average) / max(1 - average, 1e-6) for entry, score in scores.items()}
        ordered = sorted(above.items(), key=lambda item: -item[1])
        matches = [Match(entry, min(100.0, 100 * known * share)) for entry, share in ordered]
        return Answer([match for match in matches if match.percent >= self._threshold][:limit], known > 0)

    def _known_share(self, question: str, found: SimilarDocuments) -> float:
        """The share of the question's words that the model knows, or that the entries have if these are more."""
        words = _words(question)
        by_entries = sum(word in self._vocabulary for word in words) / max(len(words), 1)
        return max(found.known_token_count / max(found.token_count, 1), by_entries)

    async def _find(self, question: str) -> SimilarDocuments:
        """The server's documents nearest to a question; NotIndexedError if none of them is an entry."""
        try:
            found = await self._client.find_similar(question, _NEIGHBOURS, _OPTIONS, lexical_weight=_LEXICAL_WEIGHT)
            if found.token_count and not found.known_token_count:
                # It has no vector, so its words are all there is.
                found = await self._client.find_similar(question, _NEIGHBOURS, _OPTIONS, lexical_weight=1)
        except UnsupportedError as error:
            raise self._not_indexed("the model has no documents with a lexical index") from error
        self._check(found)
        return found

    def _check(self, found: SimilarDocuments) -> None:
        """Compare the documents with the entries: if none is an entry NotIndexedError, if some are not a warning."""
        tags = {neighbour.tag for neighbour in found.neighbours}
        others = sorted(map(str, tags - self._by_question.keys()))
        if others and len(others) == len(tags):
            raise self._not_indexed(f"the model has documents such as {others[0]!r}, and no entry")
        complete = found.known_token_count and len(tags) < _NEIGHBOURS
        missing = [entry.question for entry in self.entries if complete and entry.question not in tags]
        if missing or others:
            what = f"lacks {missing[0]!r}" if missing else f"has {others[0]!r}, which is no entry"
            self._say(f"the model {what} ({len(missing)} and {len(others)} such); {self._remedy}")

    def _not_indexed(self, problem: str) -> NotIndexedError:
        line = f"{problem}; {self._remedy}"
        self._say(line)
        return NotIndexedError(line)

    @property
    def _remedy(self) -> str:
        return f"make an index of {self._file} (paravec-model index --lexical) and serve it"

    def _say(self, line: str) -> None:
        """Log a warning, unless it was the last."""
        if line != self._said:
            self._said = line
            _log.warning("%s", line)

    def _take(self, entries: tuple[Entry, ...]) -> None:
        self.entries = entries
        self._by_question: dict[str | int, Entry] = {entry.question: entry for entry in entries}
        self._vocabulary = {word for entry in entries for word in _words(f"{entry.question} {entry.answer}")}

    def _reload_if_changed(self) -> None:
        """Read the file again if it changed; keep the entries if it is damaged or half-written."""
        if time.monotonic() - self._checked < _POLL_SECONDS:
            return
        self._checked = time.monotonic()
        try:
            changed = self._file.stat().st_mtime_ns
            if changed != self._changed:
                self._changed = changed
                self._take(read(self._file))
        except OSError as error:
            _log.warning("%s: %s; the entries stay as they were", self._file, error.strerror)
        except FaqError as error:
            _log.warning("%s; the entries stay as they were", error)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())
