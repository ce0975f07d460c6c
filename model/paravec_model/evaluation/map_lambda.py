"""How λ of method map is chosen when an artifact is made, and whether the model had better be used with it by default.

Too small a λ lets single words say too much, too large a λ hides what they say; what is right depends on how long the
model was trained, on what, and at which size. With texts at hand, one half of a document (its even tokens) looks for
the other half among all, and six of its tokens for all the others, since long texts and short ones want different λ.
Without texts, documents are drawn word by word from what the model itself predicts for trained tags, and look for their
tag. The λ that finds best is taken, by the mean reciprocal rank of what they look for.
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
from .tasks import SHORTEST, distinct, halves, pieces

Vectors = npt.NDArray[np.floating]

DEFAULT_LAMBDA = 0.1
"""Where there is nothing to choose by."""

CANDIDATES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)

# Fewer documents say nothing.
_FEWEST = 20

# Documents that are drawn for tags: how many, and how long.
_DRAWN, _DRAWN_TOKENS = 300, 50

_MAP = InferenceOptions(method="map")


@dataclass(frozen=True)
class Choice:
    """What was found best for a model."""

    map_lambda: float
    method: Method
    """The default method."""
    facts: dict[str, float] = field(default_factory=dict)
    """How it was found, for the manifest."""


Chooser = Callable[[Artifact], Choice]


def default(artifact: Artifact) -> Choice:
    """What does for most models, without a look at this one."""
    return fixed(DEFAULT_LAMBDA, artifact)


def fixed(map_lambda: float, artifact: Artifact) -> Choice:
    """This λ, and the default method as it is."""
    return Choice(map_lambda, artifact.manifest.defaults.method)


def by_halves(documents: Sequence[Sequence[str]], artifact: Artifact, *, method: Method | None = None) -> Choice:
    """The λ with which pieces of tokenized documents find the rest of their document best.

    The default method is `method`, or the one that finds better if None.
    """
    encoder = Encoder(artifact)
    words = set(artifact.vocabulary)
    known = distinct([token for token in tokens if token in words] for tokens in documents)
    if sum(len(tokens) >= SHORTEST for tokens in known) < _FEWEST:
        return Choice(DEFAULT_LAMBDA, method or "sgd")
    tasks = halves(known), pieces(known)

    def score(encoder: Encoder, options: InferenceOptions) -> float:
        vectors = ([encoder.encode(part, options).vectors for part in (task.queries, task.targets)] for task in tasks)
        return sum(_mean_reciprocal_rank(*sides) for sides in vectors) / len(tasks)

    map_lambda, best = _best(encoder, partial(score, options=_MAP))
    sgd = score(encoder, artifact.manifest.defaults)
    facts = {"piece_finds_rest_mrr_map": round(best, 4), "piece_finds_rest_mrr_sgd": round(sgd, 4)}
    return Choice(map_lambda, method or ("map" if best >= sgd else "sgd"), facts)


def by_tags(tags: SelectedRows, artifact: Artifact) -> Choice:
    """The λ with which documents drawn from the model find the trained tag that they were drawn for.

    `tags`: trained vectors, shape (tags, vector_size). The default method stays as it is.
    """
    method = artifact.manifest.defaults.method
    if len(tags) < _FEWEST:
        return Choice(DEFAULT_LAMBDA, method)
    some = np.asarray(tags[:: -(-len(tags) // _DRAWN)], np.float32)
    if not np.isfinite(some).all():
        return Choice(DEFAULT_LAMBDA, method)
    random = np.random.Generator(np.random.PCG64(1))
    vocabulary = artifact.vocabulary
    documents = [[vocabulary[word] for word in _draw(artifact, tag, random)] for tag in some]
    map_lambda, best = _best(
        Encoder(artifact), lambda encoder: _mean_reciprocal_rank(encoder.encode(documents, _MAP).vectors, some)
    )
    return Choice(map_lambda, method, {"drawn_finds_tag_mrr_map": round(best, 4)})


def _best(encoder: Encoder, score: Callable[[Encoder], float]) -> tuple[float, float]:
    scores = {candidate: score(encoder.with_map_lambda(candidate)) for candidate in CANDIDATES}
    best = max(scores, key=scores.__getitem__)
    return best, scores[best]


def _mean_reciprocal_rank(queries: Vectors, targets: Vectors) -> float:
    return float(np.mean([reciprocal_rank(ranking) for ranking in own_rankings(queries, targets)]))


def _draw(artifact: Artifact, tag: Vectors, random: np.random.Generator) -> npt.NDArray[np.intp]:
    """Words of a document, before sub-sampling, as the model predicts them for a tag's vector."""
    arrays, size = artifact.arrays, artifact.manifest.algorithm.vector_size
    if artifact.manifest.algorithm.hs:
        offsets, signs = arrays["hs_offsets"], 1.0 - 2.0 * arrays["hs_codes"]
        margins = signs * (arrays["syn1"][:, :size] @ tag)[arrays["hs_points"]]
        paths = np.concatenate([[0.0], np.cumsum(-np.logaddexp(0, -margins))])
        likelihood = paths[offsets[1:]] - paths[offsets[:-1]]
    else:
        # Where negative sampling is best: v·d = log(p(word | d) / (k p_noise(word))) (Levy and Goldberg 2014).
        noise = np.diff(arrays["cum_table"].astype(np.float64), prepend=0.0)
        likelihood = np.log(np.maximum(noise, 1e-30)) + arrays["syn1neg"][:, :size] @ tag
    probability = np.exp(likelihood - likelihood.max())
    if "sample_int" in arrays:
        probability /= (arrays["sample_int"] + 1.0) / 2.0**32
    cumulative = np.cumsum(probability)
    drawn = np.searchsorted(cumulative, random.random(_DRAWN_TOKENS) * cumulative[-1], side="right")
    words: npt.NDArray[np.intp] = np.minimum(drawn, len(cumulative) - 1)
    return words
