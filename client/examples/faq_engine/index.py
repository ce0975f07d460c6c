"""The vectors of the entries, and the search among them.

Vectors of two models are not comparable, and during a rolling update servers of both models answer. So the entries'
vectors are cached for each of the last models. If the model that answered has none yet, question and entries are
embedded in one list.
"""

import asyncio
import logging
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from paravec_client import (
    AsyncEmbeddingClient,
    Embeddings,
    InferenceOptions,
    ModelChangedError,
    ModelVersion,
    ParavecError,
    Vector,
)

from .faq import Entry, Faq, FaqError, read

# How often the file's modification time is checked.
_POLL_SECONDS = 1.0

# A rolling update has two.
_CACHED_MODELS = 2

# Attempts to have one list embedded by one model while servers of two models answer.
_MAX_ATTEMPTS = 5

_OPTIONS = InferenceOptions(normalize=True, truncate=True)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Match:
    """An entry that was found."""

    entry: Entry
    score: float
    """Dot product of the question and the centred entry vector; 0 for an unrelated question."""


@dataclass(frozen=True)
class Answer:
    """The result of a search."""

    matches: list[Match]
    """Best first; none below the threshold."""
    understood: bool
    """Whether the model knows at least one of the question's words."""
    model: ModelVersion
    """The model of the vectors."""


@dataclass(frozen=True)
class _IndexedFaq:
    """An FAQ with its vectors by one model.

    A question resembles another question, or uses the words of an answer; so an entry's vector is the mean of its
    question's vector and that of question and answer together. The mean of all entries is subtracted: what all of them
    have in common, such as the words of any question, does not tell entries apart.
    """

    faq: Faq
    vectors: Vector
    """Shape (entries, vector_size)."""


class Index:
    """Searches the entries of a file by the vectors of a paravec server."""

    def __init__(self, client: AsyncEmbeddingClient, file: Path, threshold: float) -> None:
        """`threshold`: the least score of a match. FaqError if the file cannot be read. Does not call the server."""
        self.faq = read(file)
        self._client, self._file, self._threshold = client, file, threshold
        self._changed, self._checked = file.stat().st_mtime_ns, time.monotonic()
        self._by_digest: dict[str, _IndexedFaq] = {}
        self._embedding = asyncio.Lock()

    async def prepare(self) -> None:
        """Embed the entries before the first question; log a warning if the server does not answer."""
        try:
            await self.ready()
        except ParavecError as error:
            _log.warning("paravec does not answer yet: %s", error)

    async def ready(self) -> None:
        """Return once the entries are embedded; ParavecError if the server cannot embed them.

        Afterwards it always returns: the page itself tells its readers if the server fails later.
        """
        async with self._embedding:
            if not self._by_digest:
                await self._embed([])

    async def search(self, question: str, limit: int) -> Answer:
        """At most `limit` entries for a question, best first; ParavecError if the server cannot embed it."""
        self._reload_if_changed()
        asked = await self._client.embed_all([question], _OPTIONS)
        indexed = self._indexed_by(asked.model)
        if not indexed:
            async with self._embedding:
                asked, indexed = await self._embed_together(question, asked)
        if not asked.known_token_counts[0]:
            return Answer([], False, asked.model)
        scores = indexed.vectors @ asked.vectors[0]
        nearest = np.argsort(-scores, kind="stable")[:limit]
        entries = indexed.faq.entries
        matches = [Match(entries[i], float(scores[i])) for i in nearest if scores[i] >= self._threshold]
        return Answer(matches, True, asked.model)

    async def _embed_together(self, question: str, asked: Embeddings) -> tuple[Embeddings, _IndexedFaq]:
        """The question and the entries, embedded by one model.

        Calls are spread over servers, so the other model may embed them; its answer is as good. The model of `asked`
        gets a few attempts first, because its entries are missing in the cache.
        """
        if cached := self._indexed_by(asked.model):
            return asked, cached  # the previous holder of the lock embedded them
        for _ in range(_MAX_ATTEMPTS):
            embedded, indexed = await self._embed([question])
            if embedded.model == asked.model:
                break
        return embedded, indexed

    def _indexed_by(self, model: ModelVersion) -> _IndexedFaq | None:
        """The cached vectors of this model, if they are of the file's current content."""
        indexed = self._by_digest.get(model.digest)
        return indexed if indexed and indexed.faq is self.faq else None

    async def _embed(self, first: list[str]) -> tuple[Embeddings, _IndexedFaq]:
        """Embed the texts `first` and the entries in one list, and cache the vectors of the entries."""
        faq = self.faq
        questions = [entry.question for entry in faq.entries]
        whole = [f"{entry.question} {entry.answer}" for entry in faq.entries]
        embedded = await self._by_one_model([*first, *questions, *whole])
        alone, together = np.split(embedded.vectors[len(first) :], 2)
        entries: Vector = (alone + together) * np.float32(0.5)
        # The mean of a single entry is the entry itself.
        indexed = _IndexedFaq(faq, entries - entries.mean(0) if len(entries) > 1 else entries)
        # The last model is appended, the oldest removed.
        self._by_digest.pop(embedded.model.digest, None)
        self._by_digest[embedded.model.digest] = indexed
        for oldest in list(self._by_digest)[:-_CACHED_MODELS]:
            del self._by_digest[oldest]
        _log.info("%d entries embedded by model %s", len(faq.entries), embedded.model.digest)
        return embedded, indexed

    async def _by_one_model(self, texts: list[str]) -> Embeddings:
        """Embed a list that may need several calls; the client raises ModelChangedError if two models answer them."""
        for _ in range(_MAX_ATTEMPTS - 1):
            try:
                return await self._client.embed_all(texts, _OPTIONS)
            except ModelChangedError:
                pass
        return await self._client.embed_all(texts, _OPTIONS)

    def _reload_if_changed(self) -> None:
        """Read the file again if it changed; keep the entries if it is damaged or half-written."""
        if time.monotonic() - self._checked < _POLL_SECONDS:
            return
        self._checked = time.monotonic()
        try:
            changed = self._file.stat().st_mtime_ns
            if changed != self._changed:
                self._changed = changed
                self.faq = read(self._file)
        except OSError as error:
            _log.warning("%s: %s; the entries stay as they were", self._file, error.strerror)
        except FaqError as error:
            _log.warning("%s; the entries stay as they were", error)
