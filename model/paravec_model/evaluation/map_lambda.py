"""Chooses λ, the precision of method map's prior, and the default method when an artifact is written.

With too small a λ single words dominate a vector; too large a λ shrinks all vectors towards zero. The best value
depends on the corpus, the vector size and the epochs of training. Each candidate is scored by a retrieval task, and the
one with the highest mean reciprocal rank (MRR) is chosen:

- With texts: one half of a document should find the other half, and six of its tokens the rest. There are two tasks
  because long and short texts are best at different λ.
- Without texts: synthetic documents, sampled from the words that the model predicts for a trained tag, should find that
  tag.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt

from ..artifact import Artifact
from ..artifact.doctags import SelectedRows
from ..encoder import Encoder
from ..options import InferenceOptions, Method
from .metrics import own_rankings, reciprocal_rank
from .tasks import MIN_TOKENS_TO_CUT, distinct, halves, pieces

Vectors = npt.NDArray[np.floating]

DEFAULT_LAMBDA = 0.1
"""Used if there are too few documents to choose with."""

CANDIDATES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)

_MIN_DOCUMENTS = 20

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


Chooser = Callable[[Artifact], Choice]


def default(artifact: Artifact) -> Choice:
    """DEFAULT_LAMBDA, which suits most models, and the manifest's default method."""
    return fixed(DEFAULT_LAMBDA, artifact)


def fixed(map_lambda: float, artifact: Artifact) -> Choice:
    """The given λ, and the manifest's default method."""
    return Choice(map_lambda, artifact.manifest.defaults.method)


def by_halves(documents: Sequence[Sequence[str]], artifact: Artifact, *, method: Method | None = None) -> Choice:
    """The λ with which parts of tokenized documents find the rest of their document best.

    `method`: the default method; if None, the one with the higher MRR.
    """
    encoder = Encoder(artifact)
    words = set(artifact.vocabulary)
    known = distinct([token for token in tokens if token in words] for tokens in documents)
    if sum(len(tokens) >= MIN_TOKENS_TO_CUT for tokens in known) < _MIN_DOCUMENTS:
        return Choice(DEFAULT_LAMBDA, method or "sgd")
    tasks = [
        [encoder.to_token_ids(documents) for documents in (task.queries, task.targets)]
        for task in (halves(known), pieces(known))
    ]

    def score(encoder: Encoder, options: InferenceOptions) -> float:
        return sum(_mrr(*(encoder.infer(ids, options).vectors for ids in sides)) for sides in tasks) / len(tasks)

    map_lambda, best = _best(encoder, partial(score, options=_MAP))
    sgd = score(encoder, artifact.manifest.defaults)
    facts = {"piece_finds_rest_mrr_map": round(best, 4), "piece_finds_rest_mrr_sgd": round(sgd, 4)}
    return Choice(map_lambda, method or ("map" if best >= sgd else "sgd"), facts)


def by_tags(tags: SelectedRows, artifact: Artifact) -> Choice:
    """The λ with which synthetic documents best find the trained tag that they were sampled for.

    `tags`: trained vectors, shape (tags, vector_size). The default method remains the manifest's.
    """
    method = artifact.manifest.defaults.method
    if len(tags) < _MIN_DOCUMENTS:
        return Choice(DEFAULT_LAMBDA, method)
    some = np.asarray(tags[:: -(-len(tags) // _SYNTHETIC_DOCUMENTS)], np.float32)
    if not np.isfinite(some).all():
        return Choice(DEFAULT_LAMBDA, method)
    random = np.random.Generator(np.random.PCG64(1))
    vocabulary = artifact.vocabulary
    documents = [[vocabulary[word_id] for word_id in _sample_ids(artifact, tag, random)] for tag in some]
    encoder = Encoder(artifact)
    token_ids = encoder.to_token_ids(documents)
    map_lambda, best = _best(encoder, lambda encoder: _mrr(encoder.infer(token_ids, _MAP).vectors, some))
    return Choice(map_lambda, method, {"drawn_finds_tag_mrr_map": round(best, 4)})


def _best(encoder: Encoder, score: Callable[[Encoder], float]) -> tuple[float, float]:
    scores = {candidate: score(encoder.with_map_lambda(candidate)) for candidate in CANDIDATES}
    best = max(scores, key=scores.__getitem__)
    return best, scores[best]


def _mrr(queries: Vectors, targets: Vectors) -> float:
    return float(np.mean([reciprocal_rank(ranking) for ranking in own_rankings(queries, targets)]))


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
