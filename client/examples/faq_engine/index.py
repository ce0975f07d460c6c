"""The entries' vectors, and the search among them.

Vectors of two models do not compare, and during a rolling update servers of both answer. So the entries' vectors are
kept for each of the last models, and made in one list with the question's where the model that answered has none yet.
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

# Seconds between two looks whether the file has changed.
_LOOK = 1.0

# Models whose vectors are kept: a rolling update has two.
_KEPT = 2

# Tries at a list that one model makes alone, while servers of two answer.
_TRIES = 5

_UNIT = InferenceOptions(normalize=True, truncate=True)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """An entry, and how near the question is to it."""

    entry: Entry
    score: float
    """By how much its cosine is above that of the entries' mean: 0 is near to nothing."""


@dataclass(frozen=True)
class Answer:
    """What is near to a question."""

    found: list[Found]
    """The nearest first; none below the threshold."""
    understood: bool
    """The model knows at least one of the question's words."""
    model: ModelVersion
    """Whose vectors were compared."""


@dataclass(frozen=True)
class _Vectors:
    """An FAQ as one model sees it.

    A question is like another question, or speaks of what an answer says: an entry lies halfway between its question
    and both together. What all entries have in common, as the words of any question, says nothing of which one is
    meant: their mean is taken off.
    """

    faq: Faq
    entries: Vector


class Index:
    """The entries of a file, searched by the vectors that servers make."""

    def __init__(self, client: AsyncEmbeddingClient, file: Path, threshold: float) -> None:
        """FaqError if the file cannot be read. Nothing is asked of the server yet."""
        self.faq = read(file)
        self._client, self._file, self._threshold = client, file, threshold
        self._changed, self._looked = file.stat().st_mtime_ns, time.monotonic()
        self._made: dict[str, _Vectors] = {}
        self._making = asyncio.Lock()

    async def prepare(self) -> None:
        """Embed the entries before the first question, if the server is there; else a line in the log."""
        try:
            await self.ready()
        except ParavecError as error:
            _log.warning("paravec does not answer yet: %s", error)

    async def ready(self) -> None:
        """Return once the entries are embedded; ParavecError if the server cannot be asked.

        Later the page is there whether the server is or not: it says so itself.
        """
        async with self._making:
            if not self._made:
                await self._embed([])

    async def search(self, question: str, most: int) -> Answer:
        """The entries nearest to a question, `most` of them at most; ParavecError if the server cannot be asked."""
        self._read_again()
        asked = await self._client.embed_all([question], _UNIT)
        vectors = self._vectors_of(asked.model)
        if not vectors:
            async with self._making:
                asked, vectors = await self._caught_up(question, asked)
        if not asked.known_token_counts[0]:
            return Answer([], False, asked.model)
        scores = vectors.entries @ asked.vectors[0]
        nearest = np.argsort(-scores, kind="stable")[:most]
        entries = vectors.faq.entries
        found = [Found(entries[i], float(scores[i])) for i in nearest if scores[i] >= self._threshold]
        return Answer(found, True, asked.model)

    async def _caught_up(self, question: str, asked: Embeddings) -> tuple[Embeddings, _Vectors]:
        """The question and the entries by one model: the one that answered, if one of its servers can be reached again.

        Calls go to servers by turns, so what it is asked for may be made by the other; that is as good an answer.
        """
        if kept := self._vectors_of(asked.model):
            return asked, kept  # whoever held the lock has made them
        for _ in range(_TRIES):
            made, vectors = await self._embed([question])
            if made.model == asked.model:
                break
        return made, vectors

    def _vectors_of(self, model: ModelVersion) -> _Vectors | None:
        """This model's vectors of what the file says now."""
        vectors = self._made.get(model.digest)
        return vectors if vectors and vectors.faq is self.faq else None

    async def _embed(self, first: list[str]) -> tuple[Embeddings, _Vectors]:
        """Embed texts and the entries after them, all by one model; its vectors of the entries are kept."""
        faq = self.faq
        questions = [entry.question for entry in faq.entries]
        whole = [f"{entry.question} {entry.answer}" for entry in faq.entries]
        made = await self._by_one_model([*first, *questions, *whole])
        alone, together = np.split(made.vectors[len(first) :], 2)
        entries: Vector = (alone + together) * np.float32(0.5)
        # One entry has nothing in common with others.
        vectors = _Vectors(faq, entries - entries.mean(0) if len(entries) > 1 else entries)
        self._made.pop(made.model.digest, None)
        self._made[made.model.digest] = vectors
        for oldest in list(self._made)[:-_KEPT]:
            del self._made[oldest]
        _log.info("%d entries embedded by model %s", len(faq.entries), made.model.digest)
        return made, vectors

    async def _by_one_model(self, texts: list[str]) -> Embeddings:
        """The client cuts a long list into calls, and servers of two models may take them: then it raises."""
        for _ in range(_TRIES - 1):
            try:
                return await self._client.embed_all(texts, _UNIT)
            except ModelChangedError:
                pass
        return await self._client.embed_all(texts, _UNIT)

    def _read_again(self) -> None:
        """What a half-written or damaged file says is not taken over; the entries stay as they were."""
        if time.monotonic() - self._looked < _LOOK:
            return
        self._looked = time.monotonic()
        try:
            changed = self._file.stat().st_mtime_ns
            if changed != self._changed:
                self._changed = changed
                self.faq = read(self._file)
        except OSError as error:
            _log.warning("%s: %s; the entries stay as they were", self._file, error.strerror)
        except FaqError as error:
            _log.warning("%s; the entries stay as they were", error)
