"""Retrieval measures by cosine or other scores: ranks, recall, MRR and nDCG, rank correlation, confidence intervals.

Ties count against the model: a target with the same cosine as the relevant one ranks before it. So a zero vector, which
has the same cosine with every target, finds nothing. A vector with NaN finds nothing and is not found.

Correlations and the bootstrap agree with scipy's to 1e-12. scipy itself takes 0.8 s to import and 2 to 5 times as long
for each resample, and its correlation with a constant is NaN instead of 0. `evaluate` and `compare` need only numpy.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.floating]
Numbers = npt.NDArray[np.float64]
Relevance = Mapping[int, float]
"""Number of a target -> its grade, above 0."""

# Cosines of equal documents differ by up to this, because BLAS sums products in another order.
_TIE_TOLERANCE = 1e-6

# Rank of a target that is not found.
_NOT_FOUND_RANK = np.iinfo(np.intp).max

_BELOW_ANY_COSINE = -2.0

# Cosines held in memory at once.
_BLOCK_COSINES = 2**22

_BOOTSTRAP_RESAMPLES = 1000


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % confidence interval."""

    value: float
    low: float
    high: float
    count: int
    """Number of queries or pairs."""

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class Ranking:
    """The ranks at which one query found its relevant targets."""

    positions: npt.NDArray[np.intp]
    """Ranks of the relevant targets, from 1, ascending."""
    grades: Numbers
    """Grades of the targets, in the same order."""


def unit(vectors: Vectors) -> Vectors:
    """Vectors, shape (documents, vector_size), scaled to length 1; zero vectors stay zero."""
    scaled: Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-30)
    return scaled


def block_size(targets: int) -> int:
    """How many queries are scored at once against so many targets, so that memory is bounded."""
    return max(1, _BLOCK_COSINES // max(1, targets))


def cosine_blocks(queries: Vectors, targets: Vectors) -> Iterator[tuple[int, Vectors]]:
    """Cosines in blocks of queries: the index of the block's first query, and an array (queries of block, targets)."""
    queries, targets = unit(queries), unit(targets)
    step = block_size(len(targets))
    for start in range(0, len(queries), step):
        yield start, queries[start : start + step] @ targets.T


def rankings(queries: Vectors, targets: Vectors, relevant: Sequence[Relevance]) -> list[Ranking]:
    """For each query, the ranks of its relevant targets among all targets.

    `queries`, `targets`: shapes (queries, vector_size) and (targets, vector_size). `relevant` must name at least one
    target for each query.
    """
    return score_rankings(cosine_blocks(queries, targets), relevant)


def score_rankings(blocks: Iterator[tuple[int, Vectors]], relevant: Sequence[Relevance]) -> list[Ranking]:
    """The same by scores of any kind, greater than -2, in blocks as those of `cosine_blocks`."""
    found = []
    for start, block in blocks:
        lost = np.isnan(block)
        block[lost] = _BELOW_ANY_COSINE
        for row, never, grades in zip(block, lost, relevant[start : start + len(block)], strict=True):
            numbers, values = np.array(list(grades)), np.array(list(grades.values()), np.float64)
            # Of targets with equal cosines, the least relevant comes first.
            order = np.lexsort((values, -row[numbers]))
            numbers, values = numbers[order], values[order]
            nearer = row[None, :] > row[numbers][:, None] - _TIE_TOLERANCE
            others = nearer.sum(axis=1) - nearer[:, numbers].sum(axis=1)
            positions = np.arange(1, len(numbers) + 1) + others
            found.append(Ranking(np.where(never[numbers], _NOT_FOUND_RANK, positions), values))
    return found


def own_rankings(queries: Vectors, targets: Vectors) -> list[Ranking]:
    """For each query, the rank of the target with the same index."""
    return rankings(queries, targets, [{number: 1.0} for number in range(len(queries))])


def recall(ranking: Ranking, k: int) -> float:
    """The share of the relevant targets that are among the first k."""
    return float((ranking.positions <= k).mean())


def reciprocal_rank(ranking: Ranking) -> float:
    """1 / the rank of the first relevant target."""
    return 1.0 / float(ranking.positions[0])


def ndcg(ranking: Ranking, k: int) -> float:
    """Normalized discounted cumulative gain of the first k (Järvelin and Kekäläinen 2002).

    The gain is the grade itself, discounted by log2(1 + rank), as in trec_eval.
    """
    near = ranking.positions <= k
    gain = (ranking.grades[near] / np.log2(1.0 + ranking.positions[near])).sum()
    ideal = np.sort(ranking.grades)[::-1][:k]
    return float(gain / (ideal / np.log2(np.arange(2, len(ideal) + 2))).sum())


def mean(values: Sequence[float] | Numbers) -> Estimate:
    """The mean over queries, with the interval of `estimate`."""
    return estimate(np.asarray(values, np.float64), lambda some: float(some.mean()))


def estimate(values: npt.NDArray[Any], figure: Callable[[npt.NDArray[Any]], float]) -> Estimate:
    """A figure of `values`, shape (queries, ...), with its percentile bootstrap interval (Efron 1979).

    The seed is fixed: equal values give equal intervals.
    """
    random = np.random.Generator(np.random.PCG64(1))
    drawn = [figure(values[random.integers(len(values), size=len(values))]) for _ in range(_BOOTSTRAP_RESAMPLES)]
    low, high = np.percentile(drawn, (2.5, 97.5))
    return Estimate(figure(values), float(low), float(high), len(values))


def retrieval(found: Sequence[Ranking], ks: Sequence[int]) -> dict[str, Estimate]:
    """Recall and nDCG at each of `ks`, and the mean reciprocal rank, over queries."""
    measures = {f"recall@{k}": mean([recall(ranking, k) for ranking in found]) for k in ks}
    measures["MRR"] = mean([reciprocal_rank(ranking) for ranking in found])
    return measures | {f"nDCG@{k}": mean([ndcg(ranking, k) for ranking in found]) for k in ks if k > 1}


def spearman(left: npt.ArrayLike, right: npt.ArrayLike) -> float:
    """Spearman's rank correlation of two sequences, with mean ranks for ties; 0 if one of them is constant."""
    ranks = [_ranks(np.asarray(side, np.float64)) for side in (left, right)]
    return pearson(*ranks)


def pearson(left: Numbers, right: Numbers) -> float:
    """Pearson's correlation of two sequences; 0 if one of them is constant."""
    left, right = left - left.mean(), right - right.mean()
    scale = float(np.linalg.norm(left) * np.linalg.norm(right))
    return float(left @ right) / scale if scale else 0.0


def _ranks(values: Numbers) -> Numbers:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]


def cosines(left: Vectors, right: Vectors) -> Numbers:
    """The cosine of each vector of `left` and the vector of `right` with the same index, shape (documents,)."""
    return np.asarray((unit(left).astype(np.float64) * unit(right)).sum(axis=1))


def neighbours(vectors: Vectors, k: int) -> npt.NDArray[np.intp]:
    """Indexes of each vector's k nearest other vectors, nearest first, shape (documents, k).

    Ties are ordered by index; -1 fills the row if there are fewer than k.
    """
    found = np.empty((len(vectors), k), np.intp)
    for start, block in cosine_blocks(vectors, vectors):
        rows = np.arange(len(block))
        block[rows, rows + start] = -np.inf
        nearest = np.argsort(-block, axis=1, kind="stable")[:, :k]
        found[start : start + len(block)] = np.where(block[rows[:, None], nearest] > -np.inf, nearest, -1)
    return found


def overlap(left: npt.NDArray[np.intp], right: npt.NDArray[np.intp]) -> Numbers:
    """For each document, the share of its k neighbours that both have, in any order."""
    same = (left[:, :, None] == right[:, None, :]).any(axis=2) & (left >= 0)
    return np.asarray(same.mean(axis=1), np.float64)
