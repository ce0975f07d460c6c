"""Reads the parts of a gensim model that an artifact needs."""

from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt

from ..artifact.doctags import SelectedRows, Tag
from ..artifact.finite import row_blocks
from ..artifact.noise import NOISE_TOTAL, Noise
from ..errors import ConversionError, OptionError
from ..options import Algorithm, Mode
from .gensim_file.stubs import ArrayStub
from .trained_tags import checked_tags, describe, trained_rows

Array = npt.NDArray[Any]

# Attributes that the manifest records under `training`; inference needs none of them.
_TRAINING_PARAMETERS = (
    "dbow_words",
    "dm_tag_count",
    "epochs",
    "alpha",
    "min_alpha",
    "min_count",
    "ns_exponent",
    "seed",
    "corpus_count",
    "corpus_total_words",
)

# A Huffman tree of 64-bit counts is less deep: from leaf to root, counts grow at least as fast as Fibonacci's numbers.
_MAX_TREE_DEPTH = 100


@dataclass(frozen=True)
class GensimModel:
    """Read access to a gensim Doc2Vec model, in memory or loaded by `gensim_file.load`."""

    model: Any
    """A gensim.models.doc2vec.Doc2Vec, or an object with its attributes."""

    def array(self, owner: str, name: str) -> Array:
        """The array `name` of the model ("") or of its part `owner` ("wv", "dv"); memory-mapped if in a side file."""
        value = getattr(getattr(self.model, owner) if owner else self.model, name, None)
        where = ".".join(p for p in (owner, name) if p)
        if value is None:
            raise ConversionError(f"the model has no {where}; it was not trained, or its training state was deleted")
        return _as_array(value, where)

    def algorithm(self) -> Algorithm:
        """Architecture and hyper-parameters, from the attributes that gensim's infer_vector reads.

        ConversionError if vectors cannot be inferred with them.
        """
        m = self.model
        mode: Mode
        if m.sg:
            mode = "dbow"
        elif m.dm_concat:
            mode = "dm_concat"
            if m.dm_tag_count != 1:
                raise ConversionError(
                    f"the model concatenates {m.dm_tag_count} tags a document (dm_tag_count);"
                    " neither gensim nor paravec can infer vectors from such a model"
                )
        else:
            mode = "dm_mean" if m.cbow_mean else "dm_sum"
        try:
            return Algorithm(
                mode=mode,
                vector_size=int(m.vector_size),
                negative=int(m.negative),
                hs=bool(m.hs),
                window=int(m.window),
                shrink_windows=bool(getattr(m, "shrink_windows", True)),
                sample=float(m.sample),
            )
        except OptionError as error:
            raise ConversionError(f"the model's {error}") from error

    def defaults(self) -> dict[str, Any]:
        """infer_vector's default epochs and learning rates, by InferenceOptions' names; not checked."""
        m = self.model
        return {"epochs": int(m.epochs), "alpha": float(m.alpha), "min_alpha": float(m.min_alpha)}

    def training(self) -> dict[str, Any]:
        """Finite parameters of training, for the manifest; inference does not need them."""
        found = {name: getattr(self.model, name, None) for name in _TRAINING_PARAMETERS}
        # JSON has neither NaN nor infinity.
        return {name: value for name, value in found.items() if isinstance(value, int | float) and isfinite(value)}

    def vocabulary(self) -> list[str]:
        """The words in the order of their rows; ConversionError if one is not a string or there twice."""
        words = list(self.model.wv.index_to_key)
        if not words:
            raise ConversionError("the model has an empty vocabulary")
        for row, word in enumerate(words):
            if not isinstance(word, str):
                raise ConversionError(f"the model has words that are not text: that of row {row} is {describe(word)}")
        # numpy.str_ is a subclass of str.
        words = list(map(str, words))
        if len(set(words)) != len(words):
            raise ConversionError("the model has the same word twice")
        return words

    def matrices(self, algorithm: Algorithm) -> dict[str, Array]:
        """The artifact's arrays for inference, by `array_specs`' names, unpadded.

        Those of the vocabulary, the doctags and method map are made elsewhere.
        """
        arrays: dict[str, Array] = {}
        if algorithm.negative:
            counts = self._per_word("count", "word counts")
            exponent = float(getattr(self.model, "ns_exponent", 0.75))
            noise = Noise.of(cum_table(counts, exponent))
            arrays |= {
                "syn1neg": self.array("", "syn1neg"),
                "cum_table": noise.cum_table,
                "noise_guide": noise.guide,
            }
        if algorithm.hs:
            points = self._paths("point", "tree paths")
            codes = self._paths("code", "tree codes")
            arrays |= {
                "syn1": self.array("", "syn1"),
                "hs_offsets": np.array([0, *accumulate(len(p) for p in points)], np.int64),
                "hs_points": np.concatenate(points),
                "hs_codes": np.concatenate(codes),
            }
        if algorithm.mode != "dbow":
            arrays["word_vectors"] = self.array("wv", "vectors")
        if algorithm.sample:
            arrays["sample_int"] = self._per_word("sample_int", "sub-sampling thresholds")
        return arrays

    def word_counts(self) -> Array | None:
        """How often training saw each word, in the order of the rows; None if the model has lost it."""
        return self._per_word("count", "word counts") if "count" in self.model.wv.expandos else None

    def is_trained(self, algorithm: Algorithm) -> bool:
        """Whether any output weight differs from 0, gensim's initial value."""
        names = [*(["syn1neg"] if algorithm.negative else []), *(["syn1"] if algorithm.hs else [])]
        return any(block.any() for name in names for block in row_blocks(self.array("", name)))

    def doctags(self) -> tuple[list[Tag], SelectedRows]:
        """The training documents' tags and their vectors, shape (tags, vector_size).

        Tags that no document trained are left out (see `trained_rows`). ConversionError if none is left.
        """
        tags, rows = self.model.dv.index_to_key, self.trained_vectors
        if not len(tags) or not rows.matrix.size:
            raise ConversionError("the model has no document vectors, they may have been deleted; leave out --doctags")
        if len(tags) != len(rows.matrix):
            raise ConversionError(
                f"the model has {len(tags)} tags and vectors of {len(rows.matrix)} (build_vocab(update=True) adds tags"
                " without vectors); leave out --doctags"
            )
        if not len(rows):
            raise ConversionError(f"no document has trained any of the model's {len(tags)} tags; leave out --doctags")
        tags = checked_tags(tags)
        return [tags[row] for row in rows.selected.tolist()], rows

    @cached_property
    def trained_vectors(self) -> SelectedRows:
        """The trained document vectors, shape (tags, vector_size); no rows if the model has lost them."""
        size = self.model.vector_size
        try:
            vectors = self.array("dv", "vectors")
        except (ConversionError, AttributeError):
            vectors = np.empty((0, size), np.float32)
        if vectors.ndim != 2 or vectors.shape[1] != size:
            vectors = np.empty((0, size), np.float32)
        return SelectedRows(vectors, trained_rows(vectors, getattr(self.model, "seed", None)))

    def _paths(self, attribute: str, what: str) -> list[Array]:
        paths = []
        for path in self._per_word(attribute, what):
            paths.append(_as_array(path, attribute))
            if len(paths[-1]) > _MAX_TREE_DEPTH:
                raise ConversionError(f"the model has {what} ({attribute}) that are longer than word counts allow")
        return paths

    def _per_word(self, attribute: str, what: str) -> Array:
        values = self.model.wv.expandos.get(attribute)
        if values is None:
            raise ConversionError(f"the model has no {what} ({attribute}); its training state was deleted")
        return _as_array(values, attribute)


def _as_array(value: Any, what: str) -> Array:
    """The array itself. np.asarray would trust any object with __array_interface__, which holds a memory address."""
    if isinstance(value, ArrayStub):
        return value.array()
    if not isinstance(value, np.ndarray):
        raise ConversionError(f"the model's {what} is not an array")
    return value


def cum_table(counts: Array, ns_exponent: float) -> npt.NDArray[np.uint32]:
    """The cumulative noise distribution over words, scaled to 2^31 - 1, as gensim's make_cum_table computes it.

    `counts`: shape (words,). `ns_exponent`: a word's share is its count to this power.
    """
    cumulative = list(accumulate([float(count**ns_exponent) for count in counts.tolist()]))
    return np.array([round(c / cumulative[-1] * NOISE_TOTAL) for c in cumulative], np.uint32)
