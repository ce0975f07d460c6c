"""Chooses λ and the sub-sampling of method map, and the default method, when an artifact is written.

With too small a λ single words dominate a vector; too large a λ shrinks all vectors towards zero. The best value
depends on the corpus, the vector size and the epochs of training. With the sub-sampling of training, frequent words
outweigh the words that tell texts apart. Each candidate is scored by retrieval tasks, and the one with the highest mean
reciprocal rank (MRR) is chosen; among thresholds of sub-sampling, the nearest to training's that is not worse beyond
noise:

- With texts: one half of a document should find the other half, six of its tokens the rest, and six tokens another six.
  There are three tasks because long and short texts are best at different λ. Method map then gets a center (see
  `map_center`) if that gains clearly and no task loses.
- Without texts: synthetic documents, sampled from the words that the model predicts for a trained tag, should find that
  tag. They cannot tell which sub-sampling finds texts: it was training's that made the tags.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ..artifact import Artifact
from ..artifact.doctags import SelectedRows
from ..artifact.subsampling import sample_int
from ..encoder import Encoder
from ..options import InferenceOptions, Method
from ..text.token_ids import TokenIds
from .map_center import Arrays, centers
from .metrics import own_rankings, reciprocal_rank
from .tasks import MIN_TOKENS_OF_SHORT, MIN_TOKENS_TO_CUT, distinct, halves, pieces, short_halves

Vectors = npt.NDArray[np.floating]
Counts = npt.NDArray[Any]
Scores = list[npt.NDArray[np.float64]]
"""For each task, the reciprocal rank of each query's target."""

DEFAULT_LAMBDA = 0.1
"""Used if there are too few documents to choose with."""

CANDIDATES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)

SAMPLES = (None, 1e-4, 1e-5, 1e-6)
"""Thresholds of sub-sampling to choose from if they are below training's, nearest first; None is training's."""

TRAINED_SAMPLE = (None,)
"""The choice of those who search trained vectors: other sub-sampling finds them worse."""

_MIN_DOCUMENTS = 20

# Differences of fewer standard errors are noise.
_NOISE_ERRORS = 2

# A center changes all cosines, so it must gain this MRR beyond noise.
_CENTER_GAIN = 0.01

_SYNTHETIC_DOCUMENTS = 300
_SYNTHETIC_TOKENS = 50

_MAP = InferenceOptions(method="map")


@dataclass(frozen=True)
class Choice:
    """The choice for a model."""

    map_lambda: float
    method: Method
    """The default method."""
    facts: dict[str, float] = field(default_factory=dict)
    """MRR of each method, for the manifest."""
    map_sample: float | None = None
    """Threshold of sub-sampling in method map; None: that of training."""
    center: Arrays | None = None
    """The arrays of a center, by their names in the artifact; None: it has none."""


Chooser = Callable[[Artifact, Counts | None], Choice]
"""Chooses for an artifact. The second argument is how often training saw each word, None if that is not known."""


def default(artifact: Artifact, _: Counts | None) -> Choice:
    """DEFAULT_LAMBDA, which suits most models, and the manifest's default method."""
    return Choice(DEFAULT_LAMBDA, artifact.manifest.defaults.method)


def fixed(map_lambda: float, map_sample: float | None, artifact: Artifact, _: Counts | None) -> Choice:
    """The given λ and sub-sampling, and the manifest's default method."""
    return Choice(map_lambda, artifact.manifest.defaults.method, map_sample=map_sample)


def by_halves(
    documents: Sequence[Sequence[str]],
    artifact: Artifact,
    counts: Counts | None,
    *,
    method: Method | None = None,
    samples: Sequence[float | None] = SAMPLES,
    center: bool = True,
) -> Choice:
    """The λ and sub-sampling with which parts of tokenized documents find the rest of their document best.

    `method`: the default method; if None, the one with the higher MRR. `samples`: thresholds to choose from. `center`:
    also choose whether method map has a center. A hierarchical softmax has none, nor has an artifact with trained
    documents, whose vectors queries are compared with.
    """
    encoder = Encoder(artifact)
    words = set(artifact.vocabulary)
    known = distinct([token for token in tokens if token in words] for tokens in documents)
    kinds = [short_halves] * (sum(len(tokens) >= MIN_TOKENS_OF_SHORT for tokens in known) >= _MIN_DOCUMENTS)
    kinds += [halves, pieces] * (sum(len(tokens) >= MIN_TOKENS_TO_CUT for tokens in known) >= _MIN_DOCUMENTS)
    if not kinds:
        return Choice(DEFAULT_LAMBDA, method or "sgd", map_sample=samples[0])
    tasks = [
        [encoder.to_token_ids(documents) for documents in (task.queries, task.targets)]
        for task in (kind(known) for kind in kinds)
    ]

    def score(encoder: Encoder, options: InferenceOptions) -> Scores:
        return [_reciprocal_ranks(*(encoder.infer(ids, options).vectors for ids in sides)) for sides in tasks]

    score_map = partial(score, options=_MAP)
    map_lambda, map_sample, scores = _best(encoder, counts, samples, score_map)
    arrays, algorithm = None, artifact.manifest.algorithm
    if center and algorithm.negative and not algorithm.hs and not artifact.manifest.doctag_count:
        sampling, ids = _sampling(counts, map_sample), encoder.to_token_ids(known)
        map_lambda, scores, arrays = _centered(encoder, sampling, ids, score_map, map_lambda, scores)
    best = _mean(scores)
    sgd = _mean(score(encoder, artifact.manifest.defaults))
    facts = {"piece_finds_rest_mrr_map": round(best, 4), "piece_finds_rest_mrr_sgd": round(sgd, 4)}
    return Choice(map_lambda, method or ("map" if best >= sgd else "sgd"), facts, map_sample, arrays)


def by_tags(
    tags: SelectedRows,
    artifact: Artifact,
    counts: Counts | None,
    *,
    samples: Sequence[float | None] = TRAINED_SAMPLE,
) -> Choice:
    """The λ with which synthetic documents best find the trained tag that they were sampled for.

    `tags`: trained vectors, shape (tags, vector_size). `samples`: thresholds to choose from. The default method remains
    the manifest's.
    """
    method = artifact.manifest.defaults.method
    unknown = Choice(DEFAULT_LAMBDA, method, map_sample=samples[0])
    if len(tags) < _MIN_DOCUMENTS:
        return unknown
    some = np.asarray(tags[:: -(-len(tags) // _SYNTHETIC_DOCUMENTS)], np.float32)
    if not np.isfinite(some).all():
        return unknown
    random = np.random.Generator(np.random.PCG64(1))
    vocabulary = artifact.vocabulary
    documents = [[vocabulary[word_id] for word_id in _sample_ids(artifact, tag, random)] for tag in some]
    encoder = Encoder(artifact)
    token_ids = encoder.to_token_ids(documents)
    map_lambda, map_sample, scores = _best(
        encoder, counts, samples, lambda encoder: [_reciprocal_ranks(encoder.infer(token_ids, _MAP).vectors, some)]
    )
    return Choice(map_lambda, method, {"drawn_finds_tag_mrr_map": round(_mean(scores), 4)}, map_sample)


def _best(
    encoder: Encoder, counts: Counts | None, samples: Sequence[float | None], score: Callable[[Encoder], Scores]
) -> tuple[float, float | None, Scores]:
    """λ, threshold of sub-sampling and scores; without counts, or with one threshold, only λ is chosen."""
    trained = encoder.manifest.algorithm.sample
    if counts is None:
        samples = TRAINED_SAMPLE
    elif len(samples) > 1 and trained:
        samples = [sample for sample in samples if sample is None or sample < trained]
    candidates = []
    for sample in samples:
        kept = _sampling(counts, sample)
        tried = [(map_lambda, sample, score(encoder.with_map(map_lambda, kept))) for map_lambda in CANDIDATES]
        candidates.append(max(tried, key=lambda candidate: _mean(candidate[2])))
    top = max((scores for _, _, scores in candidates), key=_mean)
    return next(candidate for candidate in candidates if not _is_worse(candidate[2], top))


def _sampling(counts: Counts | None, sample: float | None) -> Arrays:
    return {} if sample is None or counts is None else {"map_sample_int": sample_int(counts, sample)}


def _centered(
    encoder: Encoder,
    sampling: Arrays,
    documents: TokenIds,
    score: Callable[[Encoder], Scores],
    map_lambda: float,
    scores: Scores,
) -> tuple[float, Scores, Arrays | None]:
    """λ, scores and arrays with a center if it gains and no task loses, else the given λ and scores, and None.

    `sampling`: the array of the chosen sub-sampling, if any. `documents`: those whose mean is the center.
    """
    tried = [
        (candidate, score(encoder.with_map(candidate, sampling | arrays)), arrays)
        for candidate, arrays in centers(encoder, sampling, documents, map_lambda, CANDIDATES)
    ]
    best = max(tried, key=lambda candidate: _mean(candidate[1]))
    gain, error = _difference(best[1], scores)
    loses = any(_is_worse([ours], [theirs]) for ours, theirs in zip(best[1], scores, strict=True))
    return best if gain - _NOISE_ERRORS * error > _CENTER_GAIN and not loses else (map_lambda, scores, None)


def _mean(scores: Scores) -> float:
    return float(np.mean([task.mean() for task in scores]))


def _difference(scores: Scores, others: Scores) -> tuple[float, float]:
    """By how much the first are better, and the standard error of that, query by query."""
    differences = [ours - theirs for ours, theirs in zip(scores, others, strict=True)]
    error = np.sqrt(sum(task.var() / len(task) for task in differences)) / len(differences)
    return _mean(differences), float(error)


def _is_worse(scores: Scores, top: Scores) -> bool:
    """Whether the difference is more than two of its standard errors."""
    difference, error = _difference(top, scores)
    return difference > _NOISE_ERRORS * error


def _reciprocal_ranks(queries: Vectors, targets: Vectors) -> npt.NDArray[np.float64]:
    return np.array([reciprocal_rank(ranking) for ranking in own_rankings(queries, targets)])


def _sample_ids(artifact: Artifact, tag: Vectors, random: np.random.Generator) -> npt.NDArray[np.intp]:
    """Word ids of a synthetic document: a sample of the model's prediction for the tag's vector."""
    arrays, size = artifact.arrays, artifact.manifest.algorithm.vector_size
    if artifact.manifest.algorithm.hs:
        offsets, signs = arrays["hs_offsets"], 1.0 - 2.0 * arrays["hs_codes"]
        margins = signs * (arrays["syn1"][:, :size] @ tag)[arrays["hs_points"]]
        paths = np.concatenate([[0.0], np.cumsum(-np.logaddexp(0, -margins))])
        likelihood = paths[offsets[1:]] - paths[offsets[:-1]]
    else:
        # At the optimum of negative sampling v·d = log(p(word | d) / (k p_noise(word))) (Levy and Goldberg 2014).
        noise = np.diff(arrays["cum_table"].astype(np.float64), prepend=0.0)
        likelihood = np.log(np.maximum(noise, 1e-30)) + arrays["syn1neg"][:, :size] @ tag
    probability = np.exp(likelihood - likelihood.max())
    if "sample_int" in arrays:
        # The model learned from sub-sampled documents; texts to infer from are not sub-sampled yet.
        probability /= (arrays["sample_int"] + 1.0) / 2.0**32
    cumulative = np.cumsum(probability)
    sampled = np.searchsorted(cumulative, random.random(_SYNTHETIC_TOKENS) * cumulative[-1], side="right")
    ids: npt.NDArray[np.intp] = np.minimum(sampled, len(cumulative) - 1)
    return ids
