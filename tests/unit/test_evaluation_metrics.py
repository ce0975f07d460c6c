"""Measures, by values worked by hand, by independent implementations, and by what must hold for all."""

import math
from random import Random

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap, norm, pearsonr, spearmanr

from paravec_model.evaluation.metrics import (
    Ranking,
    cosines,
    estimate,
    mean,
    ndcg,
    neighbours,
    overlap,
    own_rankings,
    pearson,
    rankings,
    recall,
    reciprocal_rank,
    retrieval,
    spearman,
    unit,
)

Vectors = npt.NDArray[np.float32]

SMALL = st.lists(st.integers(-3, 3), min_size=3, max_size=30)


def at_angles(*degrees: float) -> Vectors:
    """Vectors of two numbers, of various lengths, that look in these directions."""
    radians = np.radians(degrees)
    lengths = np.arange(1, len(degrees) + 1)
    vectors: Vectors = (lengths[:, None] * np.stack([np.cos(radians), np.sin(radians)], axis=1)).astype(np.float32)
    return vectors


def ranking(*positions: int, grades: tuple[float, ...] | None = None) -> Ranking:
    """Relevant targets at these ranks, all of grade 1 unless said."""
    return Ranking(np.array(positions), np.array(grades or [1.0] * len(positions)))


def test_ranks_worked_by_hand() -> None:
    """Targets at 10, 20 and 40 degrees are the first, second and third of a query at 5, whatever their lengths."""
    (found,) = rankings(at_angles(5), at_angles(40, 10, 20), [{0: 1.0, 2: 3.0}])
    assert found.positions.tolist() == [2, 3]
    assert found.grades.tolist() == [3.0, 1.0]


def test_a_tie_counts_against_the_model() -> None:
    """Of two equal targets the one that is looked for comes last, and zero vectors find nothing."""
    (found,) = rankings(at_angles(5), at_angles(10, 10, 40), [{0: 1.0}])
    assert found.positions.tolist() == [2]
    assert [r.positions.tolist() for r in own_rankings(np.zeros((3, 2), np.float32), at_angles(1, 2, 3))] == [[3]] * 3


def test_nan_vectors_find_nothing_and_are_not_found() -> None:
    """A query or target with NaN finds nothing and is not found, takes no rank from others, and is not stable."""
    queries, targets = at_angles(5, 6), at_angles(10, 20)
    queries[1] = np.nan
    assert [recall(r, 10) for r in own_rankings(queries, targets)] == [1, 0]
    assert reciprocal_rank(own_rankings(queries, targets)[1]) == pytest.approx(0, abs=1e-9)
    targets = at_angles(10, 20, 30)
    targets[0] = np.nan
    (found,) = rankings(at_angles(5), targets, [{0: 1.0, 1: 1.0}])
    assert recall(found, 10) == 0.5
    assert found.positions[0] == 1
    vectors = np.full((4, 2), np.nan, np.float32)
    assert overlap(neighbours(vectors, 2), neighbours(vectors, 2)).tolist() == [0] * 4


def test_tied_relevant_targets_rank_the_least_relevant_first() -> None:
    """Among tied relevant targets the order is the least favourable."""
    (found,) = rankings(at_angles(5), at_angles(10, 10, 40), [{0: 3.0, 1: 1.0}])
    assert (found.positions.tolist(), found.grades.tolist()) == ([1, 2], [1.0, 3.0])


def test_blocks_do_not_change_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many cosines are held at once."""
    random = np.random.default_rng(1)
    left, right = random.normal(size=(2, 23, 5))
    whole, near = [r.positions.tolist() for r in own_rankings(left, right)], neighbours(left, 4)
    monkeypatch.setattr("paravec_model.evaluation.metrics._BLOCK_COSINES", 50)
    assert [r.positions.tolist() for r in own_rankings(left, right)] == whole
    assert (neighbours(left, 4) == near).all()


def test_recall_and_reciprocal_rank_worked_by_hand() -> None:
    """Relevant at 2, 3 and 11: one in two found at rank 2, two of three in ten."""
    found = ranking(2, 3, 11)
    assert [recall(found, k) for k in (1, 2, 10)] == pytest.approx([0, 1 / 3, 2 / 3])
    assert reciprocal_rank(found) == 0.5


def test_ndcg_worked_by_hand() -> None:
    """Grades 1 at rank 1 and 3 at rank 3: (1/1 + 3/2) over (3/1 + 1/log2(3))."""
    found = ranking(1, 3, grades=(1.0, 3.0))
    assert ndcg(found, 10) == pytest.approx(2.5 / (3 + 1 / math.log2(3)))
    assert ndcg(found, 1) == pytest.approx(1 / 3)
    assert ndcg(ranking(1, 2, grades=(3.0, 1.0)), 10) == pytest.approx(1)
    assert ndcg(ranking(11), 10) == 0


@given(
    st.lists(st.integers(0, 3), min_size=2, max_size=20).filter(any),
    st.integers(1, 12),
    st.randoms(use_true_random=False),
)
def test_ndcg_equals_its_definition(grades: list[int], k: int, random: Random) -> None:
    """nDCG equals its definition over the whole ranked list."""
    cosine = list(range(len(grades)))
    random.shuffle(cosine)
    targets = at_angles(*(2.0 * place for place in cosine))
    relevant = {number: float(grade) for number, grade in enumerate(grades) if grade}
    (found,) = rankings(at_angles(0), targets, [relevant])
    listed = [grades[number] for number in np.argsort(cosine)]

    def gain(order: list[int]) -> float:
        return sum(grade / math.log2(rank + 1) for rank, grade in enumerate(order[:k], 1))

    assert ndcg(found, k) == pytest.approx(gain(listed) / gain(sorted(grades, reverse=True)))
    assert recall(found, k) == pytest.approx(sum(map(bool, listed[:k])) / len(relevant))


@given(SMALL, st.data())
def test_correlations_are_scipys(left: list[int], data: st.DataObject) -> None:
    """Ties share their mean rank, as in an implementation that is not ours."""
    right = data.draw(st.lists(st.integers(-3, 3), min_size=len(left), max_size=len(left)))
    if len(set(left)) > 1 and len(set(right)) > 1:
        assert spearman(left, right) == pytest.approx(spearmanr(left, right).statistic, abs=1e-12)
        numbers = np.array(left, np.float64), np.array(right, np.float64)
        assert pearson(*numbers) == pytest.approx(pearsonr(left, right).statistic, abs=1e-12)
    else:
        assert spearman(left, right) == 0


@given(st.lists(st.floats(0, 1), min_size=2, max_size=50))
@settings(max_examples=20)
def test_an_interval_is_scipys(values: list[float]) -> None:
    """Of the same 1000 resamples, the same percentiles."""
    random = np.random.Generator(np.random.PCG64(1))
    drawn = bootstrap((values,), np.mean, n_resamples=1000, method="percentile", vectorized=False, rng=random)
    found = mean(values)
    assert (found.low, found.high) == pytest.approx(tuple(drawn.confidence_interval), abs=1e-12)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50))
def test_a_confidence_interval_contains_the_mean_and_is_reproducible(values: list[float]) -> None:
    """The interval is within the values, contains the mean, and is the same each time."""
    found = mean(values)
    assert min(values) - 1e-9 <= found.low <= found.high <= max(values) + 1e-9
    assert found.value == pytest.approx(np.mean(values))
    assert (found, found.count) == (mean(values), len(values))


def test_a_confidence_interval_has_the_theoretical_width() -> None:
    """For 400 answers with a quarter right, it is 1.96 standard errors on either side."""
    found = mean([1.0, 0.0, 0.0, 0.0] * 100)
    expected = norm.interval(0.95, 0.25, math.sqrt(0.25 * 0.75 / 400))
    assert (found.low, found.high) == pytest.approx(expected, abs=0.01)


def test_the_bootstrap_resamples_whole_rows() -> None:
    """Values of a row stay together, so a perfect correlation is perfect in every sample."""
    values = np.stack([np.arange(50.0), 2 * np.arange(50.0)], axis=1)
    found = estimate(values, lambda some: spearman(some[:, 0], some[:, 1]))
    assert (found.value, found.low, found.high) == pytest.approx((1, 1, 1))


def test_retrieval_names_its_measures() -> None:
    """One of each for each k; nDCG@1 would be recall@1 again."""
    measured = retrieval([ranking(1), ranking(3)], (1, 10))
    assert {name: round(found.value, 3) for name, found in measured.items()} == {
        "recall@1": 0.5, "recall@10": 1.0, "MRR": 0.667, "nDCG@10": 0.75,
    }  # fmt: skip


def test_neighbours_worked_by_hand() -> None:
    """Nearest first, never oneself, ties by number."""
    assert neighbours(at_angles(0, 10, 30, 31), 2).tolist() == [[1, 2], [0, 2], [3, 1], [2, 1]]
    assert neighbours(np.ones((3, 2), np.float32), 2).tolist() == [[1, 2], [0, 2], [0, 1]]


def test_overlap_is_the_share_of_common_neighbours() -> None:
    """The overlap ignores the order."""
    left, right = np.array([[1, 2], [0, 2]]), np.array([[2, 1], [3, 0]])
    assert overlap(left, right).tolist() == [1.0, 0.5]


def test_a_zero_vector_has_cosine_zero() -> None:
    """A zero vector stays zero when normalized, and its cosine to anything is 0."""
    zero = np.zeros((1, 2), np.float32)
    assert (unit(zero) == zero).all()
    assert cosines(zero, at_angles(3)).tolist() == [0.0]
