"""Measures how well a model's vectors find related texts, with each method of inference."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from ..corpus.formats import Tags
from ..encoder import Encoder
from ..options import Method
from .baselines import Baseline
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
    score_rankings,
    spearman,
)
from .tasks import MIN_TOKENS_TO_CUT, Judgements, Pairs, Task, Tokens, halves, pieces

KS = (1, 10)


@dataclass(frozen=True)
class Measurement:
    """One measure of one task."""

    task: str
    measure: str
    methods: dict[str, Estimate]
    """The estimate with each method of inference, and with each baseline that can do the task."""


@dataclass(frozen=True)
class Coverage:
    """How much of texts the vocabulary lacks."""

    unknown_tokens: Estimate
    """Share of all tokens that it lacks."""
    unknown_documents: Estimate
    """Share of the documents of which it has no token; their vectors are zero."""


class Evaluator:
    """Evaluates one model, with its default options of inference except for method and seed."""

    def __init__(self, encoder: Encoder, ks: Sequence[int] = KS, baselines: Sequence[Baseline] = ()) -> None:
        """`ks`: the ranks at which recall and nDCG are measured. `baselines`: what to measure beside the model."""
        self._encoder, self._ks, self._baselines = encoder, ks, baselines

    def documents(self, documents: Sequence[tuple[Tags, str]], seeds: int) -> Iterator[Measurement]:
        """Measure without labels: whether parts of a document find each other, and whether seeds give equal vectors.

        If the artifact has doctags: also whether a text finds its own. `seeds`: number of seeds, 2 or more.
        """
        tokens = [self._encoder.tokenize(text) for _, text in documents]
        if any(len(document) >= MIN_TOKENS_TO_CUT for document in tokens):
            for task in (halves(tokens), pieces(tokens)):
                yield from self._retrieval(task)
        yield from self._own_tags([tags for tags, _ in documents], tokens)
        yield from self._stability(tokens, seeds)

    def pairs(self, pairs: Pairs) -> Iterator[Measurement]:
        """Measure whether left texts find their right texts, or with scores, how well cosines agree with them."""
        left, right = ([self._encoder.tokenize(text) for text in side] for side in (pairs.left, pairs.right))
        if pairs.scores is None:
            yield from self._retrieval(Task.paired("left finds right", zip(left, right, strict=True)))
            return
        scores = pairs.scores
        agreement: dict[str, Estimate] = {
            method: _correlation(cosines(self._vectors(left, method), self._vectors(right, method)), scores)
            for method in self._encoder.methods
        }
        for baseline in self._baselines:
            if baseline.is_similarity:
                agreement[baseline.name] = _correlation(baseline.of_pairs(left, right), scores)
        yield Measurement("pairs that people scored", "Spearman's ρ", agreement)

    def judgements(self, judged: Judgements) -> Iterator[Measurement]:
        """Measure whether queries find the documents that people judged relevant."""
        queries, targets = (
            [self._encoder.tokenize(text) for text in texts] for texts in (judged.queries, judged.documents)
        )
        yield from self._retrieval(Task("query finds relevant", queries, targets, judged.relevant))

    def _own_tags(self, tags: Sequence[Tags], tokens: Sequence[Tokens]) -> Iterator[Measurement]:
        artifact = self._encoder.artifact
        if not artifact.manifest.doctag_count:
            return
        rows = {tag: row for row, tag in enumerate(artifact.doctags)}
        own = [{rows[tag]: 1.0 for tag in some if tag in rows} for some in tags]
        kept = [number for number, relevant in enumerate(own) if relevant]
        if kept:
            queries, relevant = [tokens[number] for number in kept], [own[number] for number in kept]
            targets = artifact.arrays["doctag_vectors"]
            methods = self._encoder.search_methods
            found: dict[str, list[Ranking]] = {
                m: rankings(self._vectors(queries, m), targets, relevant) for m in methods
            }
            kind = "indexed" if artifact.manifest.index else "trained"
            yield from self._measurements(f"text finds its {kind} tag", found)

    def _stability(self, tokens: Sequence[Tokens], seeds: int) -> Iterator[Measurement]:
        similarity, kept = dict[str, Estimate](), dict[str, Estimate]()
        k = min(max(self._ks), len(tokens) - 1)
        for method in self._encoder.methods:
            vectors = [self._vectors(tokens, method, seed) for seed in range(1, seeds + 1)]
            known = np.flatnonzero(np.any(vectors[0], axis=1))
            if len(known) <= k:
                return
            pairs = [(a[known], b[known]) for a, b in combinations(vectors, 2)]
            similarity[method] = mean(np.mean([cosines(a, b) for a, b in pairs], axis=0))
            shares = [overlap(neighbours(a, k), neighbours(b, k)) for a, b in pairs]
            kept[method] = mean(np.mean(shares, axis=0))
        task = f"same text, other seed ({seeds} seeds)"
        yield Measurement(task, "cosine", similarity)
        yield Measurement(task, f"overlap@{k}", kept)

    def _retrieval(self, task: Task) -> Iterator[Measurement]:
        found: dict[str, list[Ranking]] = {
            method: rankings(self._vectors(task.queries, method), self._vectors(task.targets, method), task.relevant)
            for method in self._encoder.methods
        }
        for baseline in self._baselines:
            found[baseline.name] = score_rankings(baseline.scores(task.queries, task.targets), task.relevant)
        yield from self._measurements(task.name, found)

    def _measurements(self, task: str, found: dict[str, list[Ranking]]) -> Iterator[Measurement]:
        by_method = {method: retrieval(some, self._ks) for method, some in found.items()}
        for measure in next(iter(by_method.values())):
            yield Measurement(task, measure, {method: estimates[measure] for method, estimates in by_method.items()})

    def _vectors(self, tokens: Sequence[Tokens], method: Method, seed: int | None = None) -> Vectors:
        options = replace(self._encoder.defaults, method=method)
        return self._encoder.encode(tokens, options if seed is None else replace(options, seed=seed)).vectors


def coverage(encoder: Encoder, texts: Sequence[str]) -> Coverage:
    """How much of these texts the model's vocabulary lacks."""
    token_ids = encoder.to_token_ids(texts)
    counts = np.array([token_ids.token_counts, token_ids.known_counts]).T
    return Coverage(estimate(counts, _unknown), mean(counts[:, 1] == 0))


def _unknown(counts: Numbers) -> float:
    tokens, known = counts.sum(axis=0)
    return float(1 - known / max(tokens, 1))


def _correlation(found: Numbers, scores: Sequence[float]) -> Estimate:
    return estimate(np.stack([found, scores], axis=1), lambda some: spearman(some[:, 0], some[:, 1]))


def to_json(encoder: Encoder, covered: Coverage | None, measurements: Sequence[Measurement]) -> dict[str, Any]:
    """The content of the file of `evaluate --json`."""
    manifest = encoder.manifest
    return {
        "model": {"name": manifest.name, "version": manifest.version, "digest": manifest.digest},
        "map_lambda": manifest.map_lambda,
        "map_sample": manifest.map_sample,
        "map_centered": manifest.map_centered,
        "coverage": asdict(covered) if covered else None,
        "figures": [asdict(measurement) for measurement in measurements],
    }
