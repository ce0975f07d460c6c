"""How good a model is: what its vectors find, for each method of inference beside the other."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from ..corpus.formats import Tags
from ..encoder import Encoder
from ..options import Method
from .metrics import (
    Estimate,
    Numbers,
    Ranking,
    Vectors,
    cosines,
    estimate,
    mean,
    neighbours,
    overlap,
    rankings,
    retrieval,
    spearman,
)
from .tasks import SHORTEST, Judgements, Pairs, Task, Tokens, halves, pieces

KS = (1, 10)


@dataclass(frozen=True)
class Figure:
    """What one measure of one task gives."""

    task: str
    measure: str
    methods: dict[Method, Estimate]


@dataclass(frozen=True)
class Coverage:
    """What the vocabulary knows of texts."""

    unknown_tokens: Estimate
    """Share of all tokens that it does not know."""
    unknown_documents: Estimate
    """Share of the documents of which it knows no token; their vectors are zero."""


class Trial:
    """Tries one model. Options of inference are the model's own, but for method and seed."""

    def __init__(self, encoder: Encoder, ks: Sequence[int] = KS) -> None:
        """`ks`: at which ranks recall and nDCG are measured."""
        self._encoder, self._ks = encoder, ks

    def documents(self, documents: Sequence[tuple[Tags, str]], seeds: int) -> Iterator[Figure]:
        """Measures without labels: do parts of a document find each other, does another seed give the same vector?

        And where the artifact has its training documents: does the text find its own? `seeds`: how many are compared.
        """
        tokens = [self._encoder.tokenize(text) for _, text in documents]
        if any(len(words) >= SHORTEST for words in tokens):
            for task in (halves(tokens), pieces(tokens)):
                yield from self._retrieval(task)
        yield from self._own_tags([tags for tags, _ in documents], tokens)
        yield from self._stability(tokens, seeds)

    def pairs(self, pairs: Pairs) -> Iterator[Figure]:
        """Does the left text of a pair find its right one, or if people scored them, do cosines agree with people?"""
        left, right = ([self._encoder.tokenize(text) for text in side] for side in (pairs.left, pairs.right))
        if pairs.scores is None:
            yield from self._retrieval(Task.paired("left finds right", zip(left, right, strict=True)))
            return
        scores = pairs.scores
        agreement = {
            method: _correlation(cosines(self._vectors(left, method), self._vectors(right, method)), scores)
            for method in self._encoder.methods
        }
        yield Figure("pairs that people scored", "Spearman's ρ", agreement)

    def judgements(self, judged: Judgements) -> Iterator[Figure]:
        """Do queries find the documents that people found relevant?"""
        queries, targets = (
            [self._encoder.tokenize(text) for text in texts] for texts in (judged.queries, judged.documents)
        )
        yield from self._retrieval(Task("query finds relevant", queries, targets, judged.relevant))

    def _own_tags(self, tags: Sequence[Tags], tokens: Sequence[Tokens]) -> Iterator[Figure]:
        artifact = self._encoder.artifact
        if not artifact.manifest.doctag_count:
            return
        rows = {tag: row for row, tag in enumerate(artifact.doctags)}
        own = [{rows[tag]: 1.0 for tag in some if tag in rows} for some in tags]
        kept = [number for number, relevant in enumerate(own) if relevant]
        if kept:
            queries, relevant = [tokens[number] for number in kept], [own[number] for number in kept]
            targets = artifact.arrays["doctag_vectors"]
            found = {m: rankings(self._vectors(queries, m), targets, relevant) for m in self._encoder.methods}
            yield from self._figures("text finds its trained tag", found)

    def _stability(self, tokens: Sequence[Tokens], seeds: int) -> Iterator[Figure]:
        likeness, kept = {}, {}
        k = min(max(self._ks), len(tokens) - 1)
        for method in self._encoder.methods:
            vectors = [self._vectors(tokens, method, seed) for seed in range(1, seeds + 1)]
            known = np.flatnonzero(np.any(vectors[0], axis=1))
            if len(known) <= k:
                return
            couples = [(a[known], b[known]) for a, b in combinations(vectors, 2)]
            likeness[method] = mean(np.mean([cosines(a, b) for a, b in couples], axis=0))
            shares = [overlap(neighbours(a, k), neighbours(b, k)) for a, b in couples]
            kept[method] = mean(np.mean(shares, axis=0))
        task = f"same text, other seed ({seeds} seeds)"
        yield Figure(task, "cosine", likeness)
        yield Figure(task, f"overlap@{k}", kept)

    def _retrieval(self, task: Task) -> Iterator[Figure]:
        found = {
            method: rankings(self._vectors(task.queries, method), self._vectors(task.targets, method), task.relevant)
            for method in self._encoder.methods
        }
        yield from self._figures(task.name, found)

    def _figures(self, task: str, found: dict[Method, list[Ranking]]) -> Iterator[Figure]:
        measured = {method: retrieval(some, self._ks) for method, some in found.items()}
        for measure in next(iter(measured.values())):
            yield Figure(task, measure, {method: figures[measure] for method, figures in measured.items()})

    def _vectors(self, tokens: Sequence[Tokens], method: Method, seed: int | None = None) -> Vectors:
        options = replace(self._encoder.defaults, method=method)
        return self._encoder.encode(tokens, options if seed is None else replace(options, seed=seed)).vectors


def coverage(encoder: Encoder, texts: Sequence[str]) -> Coverage:
    """How many tokens of these texts, and which of the texts, the vocabulary knows nothing of."""
    words = encoder.to_token_ids(texts)
    counts = np.array([words.token_counts, words.known_counts]).T
    return Coverage(estimate(counts, _unknown), mean(counts[:, 1] == 0))


def _unknown(counts: Numbers) -> float:
    tokens, known = counts.sum(axis=0)
    return float(1 - known / max(tokens, 1))


def _correlation(found: Numbers, scores: Sequence[float]) -> Estimate:
    return estimate(np.stack([found, scores], axis=1), lambda some: spearman(some[:, 0], some[:, 1]))


def to_json(encoder: Encoder, covered: Coverage | None, figures: Sequence[Figure]) -> dict[str, Any]:
    """What `evaluate --json` writes."""
    manifest = encoder.manifest
    return {
        "model": {"name": manifest.name, "version": manifest.version, "digest": manifest.digest},
        "map_lambda": manifest.map_lambda,
        "coverage": asdict(covered) if covered else None,
        "figures": [asdict(figure) for figure in figures],
    }
