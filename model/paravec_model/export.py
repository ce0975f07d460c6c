"""From a gensim model, live or read by `gensim_files`, to an artifact."""

from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from . import __version__
from .artifact import Artifact, array_specs, check_files
from .doctags import DOCTAGS, Doctags, lengths
from .draws import DRAWS, Noise
from .errors import ConversionError
from .files import creation_time, new_directory, write_array, write_json
from .manifest import MANIFEST, FileEntry, Manifest
from .options import Algorithm, InferenceOptions, Mode
from .prior import DEFAULT_LAMBDA, Chooser, default
from .rotation import LARGEST, map_arrays
from .stand_ins import ArraySource
from .tokenizer import Tokenizer
from .vocabulary import vocabulary_arrays

Array = npt.NDArray[Any]

# What a manifest keeps of gensim's own parameters, for people; inference needs none of them.
_TRAINING = ("dbow_words", "dm_tag_count", "epochs", "alpha", "min_alpha", "min_count", "ns_exponent", "seed",
             "corpus_count", "corpus_total_words")  # fmt: skip

# No Huffman tree of counts below 2^64 is deeper: at each step up, the counts grow as Fibonacci's numbers at least.
_LONGEST_PATH = 100


@dataclass(frozen=True)
class GensimModel:
    """Read access to a gensim Doc2Vec model: a live one, or one that `gensim_files` read."""

    model: Any

    def array(self, owner: str, name: str) -> Array:
        """The array `name` of the model ("") or of its part `owner` ("wv", "dv"), mapped if it lies in a side file."""
        value = getattr(getattr(self.model, owner) if owner else self.model, name, None)
        where = ".".join(p for p in (owner, name) if p)
        if value is None:
            raise ConversionError(f"the model has no {where}; it was not trained, or its training state was deleted")
        return _as_array(value, where)

    def algorithm(self) -> Algorithm:
        """Architecture and hyper-parameters, by the attributes that gensim's own inference goes by."""
        m = self.model
        mode: Mode
        if m.sg:
            mode = "dbow"
        elif m.dm_concat:
            mode = "dm_concat"
            if m.dm_tag_count != 1:
                raise ConversionError(
                    f"the model concatenates {m.dm_tag_count} tags a document (dm_tag_count);"
                    " gensim infers nothing from such a model, nor can paravec"
                )
        else:
            mode = "dm_mean" if m.cbow_mean else "dm_sum"
        return Algorithm(
            mode=mode,
            vector_size=int(m.vector_size),
            negative=int(m.negative),
            hs=bool(m.hs),
            window=int(m.window),
            shrink_windows=bool(getattr(m, "shrink_windows", True)),
            sample=float(m.sample),
        )

    def defaults(self) -> dict[str, Any]:
        """What infer_vector does when it is given nothing but the words, by InferenceOptions' names; unchecked."""
        m = self.model
        return {"epochs": int(m.epochs), "alpha": float(m.alpha), "min_alpha": float(m.min_alpha)}

    def training(self) -> dict[str, Any]:
        """Parameters of training that inference does not need."""
        found = {name: getattr(self.model, name, None) for name in _TRAINING}
        return {name: value for name, value in found.items() if isinstance(value, int | float)}

    def vocabulary(self) -> list[str]:
        """The words by row."""
        words = list(self.model.wv.index_to_key)
        if not words:
            raise ConversionError("the model has an empty vocabulary")
        if not all(type(word) is str for word in words):
            raise ConversionError("the model has words that are not strings")
        if len(set(words)) != len(words):
            raise ConversionError("the model has the same word twice")
        return words

    def matrices(self, algorithm: Algorithm) -> dict[str, Array]:
        """All arrays of an artifact but the vocabulary's and the doctags', by `array_specs`' names, unpadded."""
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

    def tags(self) -> list[str | int]:
        """The training documents' tags by row."""
        tags = [int(t) if isinstance(t, int | np.integer) else t for t in self.model.dv.index_to_key]
        if not all(isinstance(tag, str | int) for tag in tags) or len(set(tags)) != len(tags):
            raise ConversionError("the model has tags that are neither text nor numbers, or the same one twice")
        return tags

    def tag_vectors(self) -> Array:
        """The trained document vectors, shape (tags, vector_size); none if the model has lost them."""
        try:
            vectors = self.array("dv", "vectors")
        except (ConversionError, AttributeError):
            vectors = np.empty((0, 0))
        return vectors if vectors.ndim == 2 and vectors.shape[1] == self.model.vector_size else np.empty((0, 0))

    def _paths(self, attribute: str, what: str) -> list[Array]:
        paths = []
        for path in self._per_word(attribute, what):
            paths.append(_as_array(path, attribute))
            if len(paths[-1]) > _LONGEST_PATH:
                raise ConversionError(f"the model has {what} ({attribute}) that are longer than counts of words allow")
        return paths

    def _per_word(self, attribute: str, what: str) -> Array:
        values = self.model.wv.expandos.get(attribute)
        if values is None:
            raise ConversionError(f"the model has no {what} ({attribute}); its training state was deleted")
        return _as_array(values, attribute)


def _as_array(value: Any, what: str) -> Array:
    """An array of the model. numpy would take anything that says it is one, even an address in memory, at its word."""
    if isinstance(value, ArraySource):
        return value.array()
    if not isinstance(value, np.ndarray):
        raise ConversionError(f"the model's {what} is not an array")
    return value


def cum_table(counts: Array, ns_exponent: float) -> npt.NDArray[np.uint32]:
    """The cumulative noise distribution over words, scaled to 2^31 - 1, as gensim's make_cum_table computes it."""
    cumulative = list(accumulate(float(count**ns_exponent) for count in counts.tolist()))
    return np.array([round(c / cumulative[-1] * DRAWS) for c in cumulative], np.uint32)


def write_artifact(
    output: Path,
    source: GensimModel,
    *,
    name: str,
    version: str,
    tokenizer: Tokenizer,
    defaults: InferenceOptions | None = None,
    training: dict[str, Any] | None = None,
    doctags: bool = False,
    choose: Chooser | None = default,
) -> Manifest:
    """Write the artifact of a gensim model to the new directory `output`; its parts never fill memory at once.

    `defaults`: options of inference, the model's own if None. `training`: facts to add to the manifest for people.
    `doctags`: keep the training documents' tags and vectors. `choose`: how λ of method map is chosen, for a model
    that can be used with it; None: leave method map out. ModelError if anything is missing or `output` exists.
    """
    algorithm, words = source.algorithm(), source.vocabulary()
    matrices = source.matrices(algorithm) | vocabulary_arrays(words)
    if algorithm.mode != "dbow" or algorithm.vector_size > LARGEST:
        choose = None
    tags = source.tags() if doctags else []
    if tags:
        matrices["doctag_vectors"] = source.array("dv", "vectors")
    specs = array_specs(algorithm, len(words), len(tags), has_map=choose is not None)
    files: dict[str, FileEntry] = {}
    with new_directory(output) as directory:
        if tags:
            files[DOCTAGS] = write_json(directory / DOCTAGS, tags)
            matrices["doctag_offsets"] = Doctags(directory / DOCTAGS, len(tags)).offsets
        for file, (dtype, shape) in specs.items():
            if file == "map_syn1neg.npy":
                matrices |= map_arrays(matrices)
            if file == "doctag_norms.npy":
                matrices["doctag_norms"] = lengths(matrices["doctag_vectors"])
            array = matrices[file.removesuffix(".npy")]
            # Widths are compared below, once padded.
            if array.ndim != len(shape) or shape[0] not in (None, len(array)):
                raise ConversionError(f"{file}: the model's array has shape {array.shape}, the model needs {shape}")
            padding = file.startswith(("syn1", "word", "map_syn1"))
            slots = algorithm.slots if file.startswith("syn1") else 1
            files[file] = write_array(directory / file, array, dtype, slots=slots, pad=padding)
        manifest = Manifest(
            name=name,
            version=version,
            created=creation_time(),
            tool=f"paravec {__version__}",
            algorithm=algorithm,
            vocabulary_size=len(words),
            doctag_count=len(tags),
            defaults=defaults or InferenceOptions(**source.defaults()),
            tokenizer=tokenizer,
            training=source.training() | (training or {}),
            files=files,
            map_lambda=DEFAULT_LAMBDA if choose else None,
        )
        if problems := check_files(directory, manifest, hashes=False):
            raise ConversionError(f"the model does not fit together: {problems[0].removeprefix(f'{directory}/')}")
        (directory / MANIFEST).write_text(manifest.to_json(), encoding="ascii")
        if choose:
            choice = choose(Artifact.open(directory))
            manifest = replace(
                manifest,
                map_lambda=choice.map_lambda,
                defaults=replace(manifest.defaults, method=choice.method),
                training=manifest.training | choice.facts,
                digest="",
            )
            (directory / MANIFEST).write_text(manifest.to_json(), encoding="ascii")
    return manifest
