"""How well vectors find what they should: ranks, the measures made of them, and how sure those are.

All is by cosine. A tie counts against the model: whatever is as near as what is looked for counts as nearer. So
a vector of zeros, which is as near to everything, finds nothing. Nor does one that holds NaN, and nothing finds it.
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

# Two equal documents may differ by so much where the BLAS sums their products in another order.
_TIE = 1e-6

# Rank of what is not found, and the cosine that is less than any.
_NEVER, _NO_COSINE = np.iinfo(np.intp).max, -2.0

# Cosines that are held at once.
_BLOCK = 2**22

_RESAMPLES = 1000


@dataclass(frozen=True)
class Estimate:
    """A figure, and between which it lies in 95 of 100 such samples."""

    value: float
    low: float
    high: float
    count: int
    """Queries, or pairs, that it was measured on."""

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class Ranking:
    """Where one query found what is relevant to it."""

    positions: npt.NDArray[np.intp]
    """Ranks of the relevant targets, from 1, ascending."""
    grades: Numbers
    """Their grades, in this order."""


def unit(vectors: Vectors) -> Vectors:
    """Scaled to length 1; zero stays zero. Shape (documents, vector_size)."""
    scaled: Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-30)
    return scaled


def cosine_blocks(queries: Vectors, targets: Vectors) -> Iterator[tuple[int, Vectors]]:
    """The number of the first query of a block, and the block's cosines, shape (some queries, targets)."""
    queries, targets = unit(queries), unit(targets)
    step = max(1, _BLOCK // max(1, len(targets)))
    for start in range(0, len(queries), step):
        yield start, queries[start : start + step] @ targets.T


def rankings(queries: Vectors, targets: Vectors, relevant: Sequence[Relevance]) -> list[Ranking]:
    """For each query, where among all targets it finds the relevant ones, of which it needs at least one."""
    found = []
    for start, block in cosine_blocks(queries, targets):
        lost = np.isnan(block)
        block[lost] = _NO_COSINE
        for row, never, grades in zip(block, lost, relevant[start : start + len(block)], strict=True):
            numbers, values = np.array(list(grades)), np.array(list(grades.values()), np.float64)
            # Of those that tie, the least relevant first.
            order = np.lexsort((values, -row[numbers]))
            numbers, values = numbers[order], values[order]
            nearer = row[None, :] > row[numbers][:, None] - _TIE
            others = nearer.sum(axis=1) - nearer[:, numbers].sum(axis=1)
            positions = np.arange(1, len(numbers) + 1) + others
            found.append(Ranking(np.where(never[numbers], _NEVER, positions), values))
    return found


def own_rankings(queries: Vectors, targets: Vectors) -> list[Ranking]:
    """Where each query finds the target of its own number."""
    return rankings(queries, targets, [{number: 1.0} for number in range(len(queries))])


def recall(ranking: Ranking, k: int) -> float:
    """Of the relevant targets, how many are among the first k."""
    return float((ranking.positions <= k).mean())


def reciprocal_rank(ranking: Ranking) -> float:
    """1 / the rank of the first relevant target."""
    return 1.0 / float(ranking.positions[0])


def ndcg(ranking: Ranking, k: int) -> float:
    """Discounted cumulative gain of the first k over the best there could be (Järvelin and Kekäläinen 2002).

    The gain is the grade itself, discounted by log2(1 + rank), as trec_eval has it.
    """
    near = ranking.positions <= k
    gain = (ranking.grades[near] / np.log2(1.0 + ranking.positions[near])).sum()
    ideal = np.sort(ranking.grades)[::-1][:k]
    return float(gain / (ideal / np.log2(np.arange(2, len(ideal) + 2))).sum())


def mean(values: Sequence[float] | Numbers) -> Estimate:
    """The mean over queries; see `estimate`."""
    return estimate(np.asarray(values, np.float64), lambda some: float(some.mean()))


def estimate(values: npt.NDArray[Any], figure: Callable[[npt.NDArray[Any]], float]) -> Estimate:
    """A figure of `values`, shape (queries, ...), with its interval by the bootstrap's percentiles (Efron 1979).

    Seeded: the same values have the same interval.
    """
    random = np.random.Generator(np.random.PCG64(1))
    drawn = [figure(values[random.integers(len(values), size=len(values))]) for _ in range(_RESAMPLES)]
    low, high = np.percentile(drawn, (2.5, 97.5))
    return Estimate(figure(values), float(low), float(high), len(values))


def retrieval(found: Sequence[Ranking], ks: Sequence[int]) -> dict[str, Estimate]:
    """Recall and nDCG at each of `ks`, and the mean reciprocal rank, over queries."""
    measures = {f"recall@{k}": mean([recall(ranking, k) for ranking in found]) for k in ks}
    measures["MRR"] = mean([reciprocal_rank(ranking) for ranking in found])
    return measures | {f"nDCG@{k}": mean([ndcg(ranking, k) for ranking in found]) for k in ks if k > 1}


def spearman(left: npt.ArrayLike, right: npt.ArrayLike) -> float:
    """Spearman's correlation of two rows, equal numbers sharing their mean rank; 0 if one of them is constant."""
    ranks = [_ranks(np.asarray(side, np.float64)) for side in (left, right)]
    return pearson(*ranks)


def pearson(left: Numbers, right: Numbers) -> float:
    """Pearson's correlation of two rows of numbers; 0 if one of them is constant."""
    left, right = left - left.mean(), right - right.mean()
    scale = float(np.linalg.norm(left) * np.linalg.norm(right))
    return float(left @ right) / scale if scale else 0.0


def _ranks(values: Numbers) -> Numbers:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[place]


def cosines(left: Vectors, right: Vectors) -> Numbers:
    """Of the vectors of the same number."""
    return np.asarray((unit(left).astype(np.float64) * unit(right)).sum(axis=1))


def neighbours(vectors: Vectors, k: int) -> npt.NDArray[np.intp]:
    """The k nearest other vectors of each, nearest first, shape (documents, k); ties by number. -1 where none is."""
    found = np.empty((len(vectors), k), np.intp)
    for start, block in cosine_blocks(vectors, vectors):
        rows = np.arange(len(block))
        block[rows, rows + start] = -np.inf
        nearest = np.argsort(-block, axis=1, kind="stable")[:, :k]
        found[start : start + len(block)] = np.where(block[rows[:, None], nearest] > -np.inf, nearest, -1)
    return found


def overlap(left: npt.NDArray[np.intp], right: npt.NDArray[np.intp]) -> Numbers:
    """For each document, which share of its k neighbours are the same in both, whatever their order."""
    same = (left[:, :, None] == right[:, None, :]).any(axis=2) & (left >= 0)
    return np.asarray(same.mean(axis=1), np.float64)
