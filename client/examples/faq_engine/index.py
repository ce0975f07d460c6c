"""The entries' vectors, and the search among them.

Vectors of two models do not compare, so they are made anew when an answer of the server names another model than the
one that made them; and when the file has changed.
"""

import asyncio
import logging
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from paravec_client import AsyncEmbeddingClient, InferenceOptions, Vector

from .faq import Entry, Faq, FaqError, read

# Seconds between two looks whether the file has changed.
_LOOK = 1.0

_UNIT = InferenceOptions(normalize=True, truncate=True)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """An entry, and how near the question is to it."""

    entry: Entry
    score: float
    """Cosine of the angle between them, once what all entries have in common is taken off: at most 1."""


@dataclass(frozen=True)
class Answer:
    """What is near to a question."""

    found: list[Found]
    """The nearest first; none below the threshold."""
    understood: bool
    """The model knows at least one of the question's words."""


@dataclass(frozen=True)
class _Vectors:
    """An FAQ as one model sees it: unit vectors of its questions, and of each with its answer.

    What all have in common, as the words of any question, says nothing of which one is meant: their mean is taken off.
    """

    faq: Faq
    model: str
    mean: Vector
    questions: Vector
    whole: Vector


class Index:
    """The entries of a file, searched by the vectors that a server makes."""

    def __init__(self, client: AsyncEmbeddingClient, file: Path, threshold: float) -> None:
        """FaqError if the file cannot be read. Nothing is asked of the server yet."""
        self.faq = read(file)
        self._client, self._file, self._threshold = client, file, threshold
        self._changed, self._looked = file.stat().st_mtime_ns, time.monotonic()
        self._vectors: _Vectors | None = None
        self._making = asyncio.Lock()

    async def ready(self) -> bool:
        """Whether a question can be answered now; ParavecError if the server cannot be asked."""
        await self._current("")
        return await self._client.health(timeout=2) == "SERVING"

    async def search(self, question: str, most: int) -> Answer:
        """The entries nearest to a question, `most` of them at most; ParavecError if the server cannot be asked."""
        asked = await self._client.embed_all([question], _UNIT)
        vectors = await self._current(asked.model.digest)
        if not asked.known_token_counts[0]:
            return Answer([], understood=False)
        question = _unit(asked.vectors - vectors.mean)[0]
        # A question is like another question, or speaks of what an answer says.
        scores = np.maximum(vectors.questions @ question, vectors.whole @ question)
        nearest = np.argsort(-scores, kind="stable")[:most]
        entries = vectors.faq.entries
        found = [Found(entries[i], float(scores[i])) for i in nearest if scores[i] >= self._threshold]
        return Answer(found, understood=True)

    async def _current(self, model: str) -> _Vectors:
        """The vectors of what the file says now, by this model, or by whichever the server has if none is named."""
        async with self._making:
            self._read_again()
            vectors = self._vectors
            if vectors is None or vectors.faq is not self.faq or (model and vectors.model != model):
                vectors = self._vectors = await self._embed(self.faq)
                facts = (len(self.faq.entries), vectors.model)
                _log.info("%d entries embedded by model %s", *facts)
            return vectors

    async def _embed(self, faq: Faq) -> _Vectors:
        questions = [entry.question for entry in faq.entries]
        whole = [f"{entry.question} {entry.answer}" for entry in faq.entries]
        made = await self._client.embed_all([*questions, *whole], _UNIT)
        mean = made.vectors.mean(0)
        vectors = _unit(made.vectors - mean)
        return _Vectors(faq, made.model.digest, mean, vectors[: len(questions)], vectors[len(questions) :])

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


def _unit(vectors: Vector) -> Vector:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(lengths, np.finfo(np.float32).tiny)
