"""Maps the attributes of models of gensim 0.12 to 3.8 to those of gensim 4.

Versions store the same matrices under different names. Vectors inferred from them are the same, with two exceptions:

- `sample_int`, a word's sub-sampling threshold, is out of 2^32 - 1 in gensim 4 and was out of 2^32. A word that was
  always kept had 2^32, which gensim 4 turns into 0 when it loads a model of 3.8; here it becomes 2^32 - 1.
- Before 3.5, infer_vector ignored the model's own epochs and learning rates. Here they are the defaults.

The noise distribution is computed from the counts, as gensim does on loading.
"""

import re
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from ...errors import ConversionError
from .stubs import Array, ArrayStub, ForeignStub, GensimStub

_MAX_SAMPLE_INT = 2**32 - 1

# The first class or attribute that a model has gives the version of gensim that saved it.
_VERSION_SIGNS = (
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


class LegacyTags:
    """The document tags of a model before gensim 4: integers from 0, then strings."""

    def __init__(self, vectors: Any, named: Any) -> None:
        self.vectors = vectors
        self._named = named if type(named) is list else []

    @property
    def index_to_key(self) -> list[Any]:
        """The tags by row."""
        if not isinstance(self.vectors, ArrayStub):
            raise ConversionError("is not a whole Doc2Vec model: its tags' vectors are lost; leave out --doctags")
        return [*range(len(self.vectors.array()) - len(self._named)), *self._named]


def modern(model: GensimStub) -> SimpleNamespace:
    """The attributes that inference needs, under gensim 4's names; those that the model lacks are missing.

    `gensim` is the version that saved it, "unknown" if the file does not tell.
    """
    found: dict[str, Any] = {}
    for part in (model.get("vocabulary"), model.get("trainables"), model):
        if isinstance(part, GensimStub):
            found |= {name: value for name, value in part.attributes.items() if type(name) is str}
    if "iter" in found:
        found.setdefault("epochs", found["iter"])
    wv = model.get("wv", model)
    for name in ("wv", "vocabulary", "trainables", "dv", "docvecs"):
        if isinstance(part := model.get(name), ForeignStub):
            raise ConversionError(
                f"its {name} is a {part.type_name}; if that is a class of your own, derived from gensim's, add"
                f" --allow-class {part.type_name}"
            )
    if not isinstance(wv, GensimStub):
        raise ConversionError("is not a whole Doc2Vec model: its words (wv) are missing")
    words = _first(wv, "index_to_key", "index2word")
    if type(words) is not list:
        raise ConversionError("is not a whole Doc2Vec model: it has no list of words")
    vocab = wv.get("vocab")
    expandos = _expandos_from_vocab(words, vocab) if type(vocab) is dict else wv.get("expandos", {})
    found["wv"] = SimpleNamespace(index_to_key=words, vectors=_first(wv, "vectors", "syn0"), expandos=expandos)
    found["dv"] = _tags(_first(model, "dv", "docvecs"))
    found["gensim"] = _version(model, wv, vocab)
    return SimpleNamespace(**found)


def _first(part: GensimStub, *names: str) -> Any:
    return next((part.get(name) for name in names if part.get(name) is not None), None)


def _tags(dv: Any) -> Any:
    if not isinstance(dv, GensimStub):
        return LegacyTags(None, None)
    if (tags := dv.get("index_to_key")) is not None:
        return SimpleNamespace(index_to_key=tags, vectors=dv.get("vectors"))
    # The attribute `vectors` of these versions is an empty matrix.
    return LegacyTags(_first(dv, "vectors_docs", "doctag_syn0"), _first(dv, "offset2doctag", "index2doctag"))


def _expandos_from_vocab(words: Sequence[Any], vocab: dict[Any, Any]) -> dict[str, Array]:
    """Arrays of counts, thresholds, paths and codes by row, from `vocab`, which has an object for each word."""
    entries: list[GensimStub] = []
    for row, word in enumerate(words):
        entry = vocab.get(word) if type(word) is str else None
        if not isinstance(entry, GensimStub) or entry.get("index") != row:
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
    return np.array([min(value, _MAX_SAMPLE_INT) for value in values], np.uint32)


def _version(model: GensimStub, wv: GensimStub, vocab: Any) -> str:
    events = model.get("lifecycle_events")
    last = events[-1] if type(events) is list and events else None
    version = last.get("gensim") if type(last) is dict else None
    if isinstance(version, str) and re.fullmatch(r"\d[\w.]{0,19}", version):
        return version
    if "dv" in model.attributes:
        return "4"
    docvecs = model.get("docvecs")
    first = next(iter(vocab.values()), None) if type(vocab) is dict else None
    signs = {part.class_name for part in (wv, docvecs, first) if isinstance(part, GensimStub)}
    signs |= {name for name in model.attributes if type(name) is str}
    for prefix, part in (("wv", wv), ("docvecs", docvecs)):
        if isinstance(part, GensimStub) and part is not model:
            signs |= {f"{prefix}.{name}" for name in part.attributes}
    return next((version for version, sign in _VERSION_SIGNS if sign in signs), "unknown")
