"""Compares two models and judges whether one may replace the other.

Each model infers with its own default options, as a server would. Vectors of two models are not comparable, so the
comparison is between each model's neighbours of the same documents.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from ..artifact import Artifact, Manifest
from ..corpus.formats import Tags
from ..encoder import Encoder
from ..errors import CorpusError
from ..text.tokenizer import tokenizer_to_dict
from .evaluate import coverage
from .metrics import (
    Estimate,
    Numbers,
    Vectors,
    cosine_blocks,
    mean,
    neighbours,
    overlap,
    own_rankings,
    reciprocal_rank,
    spearman,
)
from .tasks import MIN_TOKENS_TO_CUT, Task, halves

_MIN_DOCUMENTS = 20


@dataclass(frozen=True)
class Bounds:
    """The bounds within which B may replace A."""

    min_overlap: float
    """Minimum share of a document's neighbours that both models have."""
    max_mrr_loss: float
    """Maximum loss of mean reciprocal rank when halves of documents look for each other."""
    max_unknown_rise: float
    """Maximum rise of the share of unknown tokens."""
    other_size: bool
    """Whether the vectors of B may have another length."""


@dataclass(frozen=True)
class Comparison:
    """How B differs from A, and the verdict."""

    a: Manifest
    b: Manifest
    documents: int
    """Number of documents, or doctags, whose neighbours were compared."""
    parameters: dict[str, tuple[Any, Any]]
    """Parameters that differ: name -> (A's, B's)."""
    words: dict[str, int]
    """Vocabulary sizes: words that only A has, that only B has, that both have."""
    figures: dict[str, Estimate]
    reasons: list[str]
    """Why B may not replace A; empty if it may."""

    @property
    def verdict(self) -> str:
        """One line for people."""
        a, b = (f"{m.name} {m.version} ({m.digest.removeprefix('sha256:')[:12]})" for m in (self.a, self.b))
        if self.a.digest == self.b.digest:
            return f"same: {b} is {a}, to the bit"
        if self.reasons:
            return f"no: {b} may not replace {a}: {'; '.join(self.reasons)}"
        return f"yes: {b} may replace {a}, once all stored vectors are computed again"

    def to_json(self) -> dict[str, Any]:
        """The content of the file of `compare --json`."""
        models = {
            side: {"name": m.name, "version": m.version, "digest": m.digest}
            for side, m in (("a", self.a), ("b", self.b))
        }
        found = {name: asdict(estimate) for name, estimate in self.figures.items()}
        return models | {
            "may_replace": not self.reasons,
            "reasons": self.reasons,
            "documents": self.documents,
            "parameters": self.parameters,
            "words": self.words,
            "figures": found,
        }


def compare(
    a: Artifact, b: Artifact, documents: Sequence[tuple[Tags, str]] | None, k: int, max_doctags: int, bounds: Bounds
) -> Comparison:
    """Compare two models on documents, or if None, on at most `max_doctags` of the doctags that both artifacts hold.

    `k`: number of neighbours that are compared. CorpusError if there are too few documents.
    """
    figures: dict[str, Estimate] = {}
    if documents is None:
        vectors = _doctag_vectors(a, b, max_doctags)
    else:
        encoders = Encoder(a), Encoder(b)
        vectors, figures = _inferred(*encoders, [text for _, text in documents], k)
    count = len(vectors[0])
    if count < max(_MIN_DOCUMENTS, k + 1):
        raise CorpusError(
            f"{count} documents that both models know are too few to compare {k} neighbours on,"
            f" {max(_MIN_DOCUMENTS, k + 1)} are needed; name a corpus, or a larger one"
        )
    figures = dict(_neighbourhoods(*vectors, k)) | figures
    parameters = _parameters(a.manifest, b.manifest)
    reasons = [] if a.manifest.digest == b.manifest.digest else list(_reasons(parameters, figures, k, bounds))
    return Comparison(a.manifest, b.manifest, count, parameters, _words(a, b), figures, reasons)


def _inferred(
    a: Encoder, b: Encoder, texts: Sequence[str], k: int
) -> tuple[tuple[Vectors, Vectors], dict[str, Estimate]]:
    tokens = [[encoder.tokenize(text) for text in texts] for encoder in (a, b)]
    left, right = (encoder.encode(some).vectors for encoder, some in zip((a, b), tokens, strict=True))
    known = left.any(axis=1) & right.any(axis=1)
    figures = {}
    if a.defaults.method == "sgd" and known.sum() > k:
        again = a.encode(tokens[0], replace(a.defaults, seed=a.defaults.seed + 1)).vectors
        figures[f"overlap@{k} of A with another seed"] = mean(_overlap(left[known], again[known], k))
    for side, encoder in (("A", a), ("B", b)):
        figures[f"unknown tokens, {side}"] = coverage(encoder, texts).unknown_tokens
    # Both models are measured on the same documents: those that both tokenizers cut into enough tokens.
    long = [n for n, pair in enumerate(zip(*tokens, strict=True)) if min(map(len, pair)) >= MIN_TOKENS_TO_CUT]
    if len(long) >= _MIN_DOCUMENTS:
        ranks = [_half_ranks(e, halves(some[n] for n in long)) for e, some in zip((a, b), tokens, strict=True)]
        for name, values in (("A", ranks[0]), ("B", ranks[1]), ("B - A", ranks[1] - ranks[0])):
            figures[f"half finds half, MRR, {name}"] = mean(values)
    return (left[known], right[known]), figures


def _half_ranks(encoder: Encoder, task: Task) -> Numbers:
    sides = (encoder.encode(part).vectors for part in (task.queries, task.targets))
    return np.array([reciprocal_rank(ranking) for ranking in own_rankings(*sides)])


def _doctag_vectors(a: Artifact, b: Artifact, max_doctags: int) -> tuple[Vectors, Vectors]:
    rows = {tag: row for row, tag in enumerate(b.doctags)}
    both = [(row, rows[tag]) for row, tag in enumerate(a.doctags) if tag in rows]
    if not both:
        raise CorpusError(
            "the artifacts have no doctag in common; name a corpus to compare them on, as for train:"
            " --corpus, --lines, --jsonl, --csv or --folder"
        )
    some = np.array(both[:: -(-len(both) // max_doctags)])
    return a.arrays["doctag_vectors"][some[:, 0]], b.arrays["doctag_vectors"][some[:, 1]]


def _neighbourhoods(left: Vectors, right: Vectors, k: int) -> Iterator[tuple[str, Estimate]]:
    yield f"overlap@{k}", mean(_overlap(left, right, k))
    yield "same nearest", mean(_overlap(left, right, 1))
    yield "rank correlation", mean(_rank_correlations(left, right))


def _overlap(left: Vectors, right: Vectors, k: int) -> Numbers:
    return overlap(neighbours(left, k), neighbours(right, k))


def _rank_correlations(left: Vectors, right: Vectors) -> list[float]:
    """For each document, Spearman's correlation of its cosines to all others by the two models."""
    found = []
    for (start, ours), (_, theirs) in zip(cosine_blocks(left, left), cosine_blocks(right, right), strict=True):
        for number, rows in enumerate(zip(ours, theirs, strict=True), start):
            found.append(spearman(*(np.delete(row, number) for row in rows)))
    return found


def _parameters(a: Manifest, b: Manifest) -> dict[str, tuple[Any, Any]]:
    sides = []
    for manifest in (a, b):
        parts = {
            "algorithm": asdict(manifest.algorithm),
            "defaults": asdict(manifest.defaults),
            "tokenizer": tokenizer_to_dict(manifest.tokenizer),
            "training": manifest.training,
        }
        flat = {f"{part}.{name}": value for part, values in parts.items() for name, value in values.items()}
        sides.append(flat | {name: getattr(manifest, name) for name in ("map_lambda", "map_sample", "map_centered")})
    names = dict.fromkeys([*sides[0], *sides[1]])
    pairs = {name: (sides[0].get(name), sides[1].get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _words(a: Artifact, b: Artifact) -> dict[str, int]:
    rows, _ = b.vocabulary.ids_of([list(a.vocabulary)])
    both = len(rows)
    return {"only A": len(a.vocabulary) - both, "only B": len(b.vocabulary) - both, "both": both}


def _reasons(
    parameters: dict[str, tuple[Any, Any]], figures: dict[str, Estimate], k: int, bounds: Bounds
) -> Iterator[str]:
    if (sizes := parameters.get("algorithm.vector_size")) and not bounds.other_size:
        yield f"vectors have {sizes[1]} numbers, not {sizes[0]} (--other-size allows it)"
    kept = figures[f"overlap@{k}"].value
    if kept < bounds.min_overlap:
        yield f"of {k} neighbours a share of {kept:.3f} stays, less than {bounds.min_overlap:g}"
    change = figures.get("half finds half, MRR, B - A")
    # The loss must exceed the bound and be significant: the interval of the difference lies below 0.
    if change and change.value < -bounds.max_mrr_loss and change.high < 0:
        yield f"halves find each other worse, by {-change.value:.3f} in MRR, more than {bounds.max_mrr_loss:g}"
    if "unknown tokens, A" in figures:
        rise = figures["unknown tokens, B"].value - figures["unknown tokens, A"].value
        if rise > bounds.max_unknown_rise:
            yield f"the share of unknown tokens rises by {rise:.3f}, more than {bounds.max_unknown_rise:g}"
