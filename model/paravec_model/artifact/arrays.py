"""The .npy files of an artifact: their names, dtypes and shapes.

Rows of the matrices are padded with zeros to whole cache lines (see `options.padded`), as the kernels need them.
"""

import math
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..lexical.postings import LEXICAL_ARRAYS
from ..options import Algorithm, padded
from ..text.vocabulary import slot_count
from .noise import NOISE_TOTAL, guide_shift

Array: TypeAlias = npt.NDArray[Any]
Shape: TypeAlias = tuple[int | None, ...]


def array_specs(
    algorithm: Algorithm,
    vocabulary_size: int,
    doctag_count: int,
    *,
    has_map: bool,
    has_map_sample: bool = False,
    has_map_center: bool = False,
    has_lexical: bool = False,
) -> dict[str, tuple[str, Shape]]:
    """The .npy files of an artifact: name -> (dtype, shape), with None for a length that may vary.

    Most names are gensim's:

    - `vocabulary_text`, `vocabulary_offsets`, `vocabulary_slots`: the words and their hash table, see
      kernels/hash_table.h.
    - `syn1neg`, `cum_table`, `noise_guide`: output rows and noise distribution of negative sampling, and where to begin
      a search in it, see `noise`.
    - `syn1`, `hs_offsets`, `hs_points`, `hs_codes`: inner nodes of the hierarchical softmax; the path of word i is
      `hs_points` and `hs_codes` from `hs_offsets[i]` to `hs_offsets[i + 1]`.
    - `word_vectors`: input vectors of words, the context of DM.
    - `sample_int`: the probability, times 2^32 - 1, that sub-sampling keeps a word.
    - `map_syn1neg`, `map_syn1`, `map_basis`, `map_eigenvalues`, `map_mean`: for method map with negative sampling, the
      rows in the basis that diagonalizes their second moment, see `convert.map_basis`.
    - `map_sample_int`: as `sample_int`, for method map, if the manifest has `map_sample`.
    - `map_center`: what method map subtracts from each vector, if the manifest has `map_centered`; `map_mean` and
      `map_eigenvalues` are then those of `evaluation.map_center`.
    - `doctag_vectors`, `doctag_norms`, `doctag_offsets`: the training documents, see `doctags`.
    - `lexical_*`: the documents by their terms, see `lexical.postings`.
    """
    size = padded(algorithm.vector_size)
    layer1_size = algorithm.vectors_per_row * size
    specs: dict[str, tuple[str, Shape]] = {
        "vocabulary_text": ("|u1", (None,)),
        "vocabulary_offsets": ("<i8", (vocabulary_size + 1,)),
        "vocabulary_slots": ("<u8", (slot_count(vocabulary_size),)),
    }
    if algorithm.negative:
        specs |= {
            "syn1neg": ("<f4", (vocabulary_size, layer1_size)),
            "cum_table": ("<u4", (vocabulary_size,)),
            "noise_guide": ("<u4", ((NOISE_TOTAL >> guide_shift(vocabulary_size)) + 1,)),
        }
    if algorithm.hs:
        specs |= {
            "syn1": ("<f4", (vocabulary_size, layer1_size)),
            "hs_offsets": ("<i8", (vocabulary_size + 1,)),
            "hs_points": ("<u4", (None,)),
            "hs_codes": ("|u1", (None,)),
        }
    if algorithm.mode != "dbow":
        specs["word_vectors"] = ("<f4", (vocabulary_size, size))
    if algorithm.sample:
        specs["sample_int"] = ("<u4", (vocabulary_size,))
    if has_map and algorithm.negative:
        specs |= dict.fromkeys(("map_syn1neg", "map_syn1")[: 1 + algorithm.hs], ("<f4", (vocabulary_size, size)))
        specs |= {"map_basis": ("<f4", (size, size)), "map_eigenvalues": ("<f4", (size,)), "map_mean": ("<f4", (size,))}
    if has_map_sample:
        specs["map_sample_int"] = ("<u4", (vocabulary_size,))
    if has_map_center:
        specs["map_center"] = ("<f4", (size,))
    if doctag_count:
        specs |= {
            "doctag_vectors": ("<f4", (doctag_count, algorithm.vector_size)),
            "doctag_norms": ("<f4", (doctag_count,)),
            "doctag_offsets": ("<i8", (doctag_count + 1,)),
        }
    if has_lexical:
        specs |= {name: (dtype, (None,)) for name, dtype in LEXICAL_ARRAYS.items()}
    return {f"{name}.npy": spec for name, spec in specs.items()}


def check_array(file: Path, dtype: str, shape: Shape) -> list[str]:
    """Compare a .npy file with its specification. Returns a list of one line if it differs, else of none."""
    try:
        array = map_array(file)
    except Exception as error:
        # NumPy raises many kinds of errors for a file that is no .npy.
        return [f"{file}: is not a .npy array: {(str(error) or type(error).__name__).splitlines()[0]}"]
    fits = len(array.shape) == len(shape) and all(
        want in (None, have) for want, have in zip(shape, array.shape, strict=True)
    )
    if array.dtype.str != dtype or not fits or not array.flags.c_contiguous:
        return [f"{file}: is {array.dtype.str} of shape {array.shape}, the model needs {dtype} of shape {shape}"]
    return []


def map_array(file: Path) -> Array:
    """Map a .npy file read-only. ValueError or OSError if it is not an array of numbers in C order, or unreadable."""
    with file.open("rb") as opened:
        version = np.lib.format.read_magic(opened)
        if version != (1, 0):
            raise ValueError("its format is not version 1.0 of .npy")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(opened)
        start = opened.tell()
    if fortran or dtype.hasobject:
        raise ValueError("it is not an array of numbers in C order")
    if start % dtype.alignment:
        raise ValueError("its numbers are not aligned in memory when it is mapped")
    if not math.prod(shape):
        # An empty array cannot be mapped. The tree of a vocabulary of one word has no nodes.
        array: Array = np.empty(shape, dtype)
        array.flags.writeable = False
        return array
    return np.memmap(file, dtype, "r", start, shape).view(np.ndarray)
