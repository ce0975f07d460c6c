"""Random draws."""

import numpy as np
from scipy.stats import chisquare, kstest

from paravec_model.artifact.noise import Noise
from paravec_model.inference.random_tables import Draws, RandomTables, epoch_seeds, start_vector, window_seeds


def test_random_draws_are_stable_across_versions() -> None:
    """The draws equal recorded numbers, so that stored vectors stay comparable."""
    assert epoch_seeds(1, 2).tolist() == [131439331492507, 9663328716209]
    assert window_seeds(1, 1).tolist() == [183374040663377]
    start = [-0.03295262157917023, 0.11089104413986206, -0.11368575692176819, 0.06935922801494598]
    assert start_vector(1, 4).tolist() == start


def test_the_start_vector_is_uniform() -> None:
    """The start vector is uniform in ±0.5 / vector_size, as gensim's is."""
    start = start_vector(7, 10_000) * 10_000
    assert -0.5 <= start.min() < -0.49
    assert 0.49 < start.max() < 0.5
    assert kstest(start, "uniform", (-0.5, 1)).pvalue > 0.05


def tables(noise: Noise | None = None, window: int = 5) -> RandomTables:
    """Draws for a vocabulary of five words."""
    cum = np.array([10, 400, 2**30, 2**30, 2**31 - 1], np.uint32)
    return RandomTables(noise or Noise.of(cum), negative=5, window=window)


def test_noise_words_equal_bisection() -> None:
    """The guide table finds the word that bisection of the cumulative table finds."""
    rng = np.random.default_rng(1)
    cum = np.sort(rng.integers(1, 2**31 - 1, 1000)).astype(np.uint32)
    drawn = RandomTables(Noise.of(cum), 5, 1).draws(3, 0, 4, 100)
    assert (drawn.noise == np.searchsorted(cum, drawn.raw % cum[-1])).all()


def same(a: Draws, b: Draws, tokens: int) -> bool:
    """Whether two tables agree for documents of so many tokens."""
    return bool((a.noise[:, : tokens * 6] == b.noise[:, : tokens * 6]).all()) and bool(
        (a.windows[:, :tokens] == b.windows[:, :tokens]).all()
    )


def test_draw_tables_do_not_depend_on_earlier_requests() -> None:
    """Longer documents, more epochs, a range of epochs and another order of requests give the same draws."""
    whole = tables().draws(9, 0, 30, 500)
    part = tables().draws(9, 10, 30, 20)
    assert same(part, Draws(whole.raw[10:], whole.noise[10:], whole.windows[10:]), 20)
    grown = tables()
    for asked in (1, 30, 500):
        again = grown.draws(9, 0, 30, asked)
        assert same(again, whole, min(asked, 64))


def test_draws_beyond_the_cache_are_the_same() -> None:
    """A document too long for the cached tables gets the same draws in portions."""
    large = tables().draws(9, 700, 702, 9000)
    small = tables().draws(9, 700, 702, 30)
    assert large.tokens >= 9000
    assert same(large, small, 30)


def test_window_sizes_are_uniform() -> None:
    """Each position has a window of 1 to `window` words, all sizes about equally often."""
    drawn = tables(window=5).draws(2, 0, 20, 1000).windows
    assert sorted(np.unique(drawn)) == [0, 1, 2, 3, 4]
    assert chisquare(np.bincount(drawn.ravel())).pvalue > 0.05
