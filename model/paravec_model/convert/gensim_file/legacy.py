"""Models of gensim 0.12 to 3.8, in the form of gensim 4's.

gensim has kept its matrices and moved them about. What a model infers is the same wherever they lie, but for two
things. A word's threshold of sub-sampling was of 2^32, and is of 2^32 - 1; a word that is always kept had 2^32, which
gensim 4 takes for 0 when it loads words of 3.8. And before 3.5, infer_vector did not go by the model's own epochs and
learning rates; here each model does. The noise distribution is made from the counts, as gensim makes it on loading.
"""

import re
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from ...errors import ConversionError
from .stubs import Array, ArraySource, Foreign, Inert

_LARGEST_SAMPLE = 2**32 - 1

# By what of a model its gensim is told: the first that holds.
_SIGNS = (
    ("3.3 to 3.8", "gensim.models.keyedvectors.Doc2VecKeyedVectors"),
    ("3.2", "gensim.models.keyedvectors.EuclideanKeyedVectors"),
    ("2.3 to 3.1", "compute_loss"),
    ("2.0 to 2.2", "wv.vector_size"),
    ("1.0", "gensim.models.keyedvectors.Vocab"),
    ("0.13.4", "wv"),
    ("0.13.0 to 0.13.3", "min_alpha_yet_reached"),
    ("0.12.4", "batch_words"),
    ("0.12.3", "docvecs.max_rawint"),
    ("0.12.0 to 0.12.1", "neg_labels"),
    ("0.12.2", "docvecs"),
)


class TrainedTags:
    """The tags of a model's documents before gensim 4: numbers from 0, then names."""

    def __init__(self, vectors: Any, named: Any) -> None:
        self.vectors = vectors
        self._named = named if type(named) is list else []

    @property
    def index_to_key(self) -> list[Any]:
        """The tags by row."""
        if not isinstance(self.vectors, ArraySource):
            raise ConversionError("is not a whole Doc2Vec model: its tags' vectors are lost; leave out --doctags")
        return [*range(len(self.vectors.array()) - len(self._named)), *self._named]


def modern(model: Inert) -> SimpleNamespace:
    """The attributes that inference goes by, where gensim 4 has them; one that the model has not is missing.

    `gensim` among them is the version by which it was saved, as far as the file tells.
    """
    found: dict[str, Any] = {}
    for part in (model.get("vocabulary"), model.get("trainables"), model):
        if isinstance(part, Inert):
            found |= {name: value for name, value in part.attributes.items() if type(name) is str}
    if "iter" in found:
        found.setdefault("epochs", found["iter"])
    wv = model.get("wv", model)
    for name in ("wv", "vocabulary", "trainables", "dv", "docvecs"):
        if isinstance(part := model.get(name), Foreign):
            raise ConversionError(
                f"its {name} is a {part.kind}; if that is a class of your own, derived from gensim's, add"
                f" --allow-class {part.kind}"
            )
    if not isinstance(wv, Inert):
        raise ConversionError("is not a whole Doc2Vec model: its words (wv) are missing")
    words = _first(wv, "index_to_key", "index2word")
    if type(words) is not list:
        raise ConversionError("is not a whole Doc2Vec model: it has no list of words")
    vocab = wv.get("vocab")
    expandos = _by_attribute(words, vocab) if type(vocab) is dict else wv.get("expandos", {})
    found["wv"] = SimpleNamespace(index_to_key=words, vectors=_first(wv, "vectors", "syn0"), expandos=expandos)
    found["dv"] = _tags(_first(model, "dv", "docvecs"))
    found["gensim"] = _version(model, wv, vocab)
    return SimpleNamespace(**found)


def _first(part: Inert, *names: str) -> Any:
    return next((part.get(name) for name in names if part.get(name) is not None), None)


def _tags(dv: Any) -> Any:
    if not isinstance(dv, Inert):
        return TrainedTags(None, None)
    if (tags := dv.get("index_to_key")) is not None:
        return SimpleNamespace(index_to_key=tags, vectors=dv.get("vectors"))
    # Their `vectors` are of no use: an empty matrix.
    return TrainedTags(_first(dv, "vectors_docs", "doctag_syn0"), _first(dv, "offset2doctag", "index2doctag"))


def _by_attribute(words: Sequence[Any], vocab: dict[Any, Any]) -> dict[str, Array]:
    """Counts, thresholds, paths and codes by the words' rows, from an object for each word."""
    entries: list[Inert] = []
    for row, word in enumerate(words):
        entry = vocab.get(word) if type(word) is str else None
        if not isinstance(entry, Inert) or entry.get("index") != row:
            raise ConversionError(f"is not a whole Doc2Vec model: its vocabulary lacks the word of row {row}")
        entries.append(entry)
    arrays: dict[str, Array] = {}
    for name in ("count", "sample_int", "point", "code"):
        values = [entry.get(name) for entry in entries]
        if any(value is None for value in values):
            continue
        if name in ("count", "sample_int"):
            arrays[name] = _numbers(values, name)
        else:
            arrays[name] = np.empty(len(values), object)
            for row, value in enumerate(values):
                arrays[name][row] = value
    return arrays


def _numbers(values: list[Any], name: str) -> Array:
    if not all(type(value) is int and value >= 0 for value in values):
        raise ConversionError(f"is not a whole Doc2Vec model: a word's {name} is not a number of 0 or more")
    if name == "count":
        return np.array(values, np.int64)
    return np.array([min(value, _LARGEST_SAMPLE) for value in values], np.uint32)


def _version(model: Inert, wv: Inert, vocab: Any) -> str:
    events = model.get("lifecycle_events")
    last = events[-1] if type(events) is list and events else None
    told = last.get("gensim") if type(last) is dict else None
    if isinstance(told, str) and re.fullmatch(r"\d[\w.]{0,19}", told):
        return told
    if "dv" in model.attributes:
        return "4"
    docvecs = model.get("docvecs")
    first = next(iter(vocab.values()), None) if type(vocab) is dict else None
    signs = {part.gensim_class for part in (wv, docvecs, first) if isinstance(part, Inert)}
    signs |= {name for name in model.attributes if type(name) is str}
    for prefix, part in (("wv", wv), ("docvecs", docvecs)):
        if isinstance(part, Inert) and part is not model:
            signs |= {f"{prefix}.{name}" for name in part.attributes}
    return next((version for version, sign in _SIGNS if sign in signs), "unknown")
