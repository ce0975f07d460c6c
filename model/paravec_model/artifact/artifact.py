"""The model artifact: a directory of JSON and .npy that any process can map and none can be harmed by.

Opening maps the arrays. What it reads of them is a number here and there, and the tree of hierarchical softmax. The
matrices' rows are padded with zeros to whole cache lines (see `options.padded`), which is what the kernels want.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ArtifactError
from ..kernels.interface import CONSTANTS
from ..options import Algorithm, padded
from ..text.vocabulary import Vocabulary, slot_count
from .doctags import DOCTAGS, Doctags, Tag, row_norms
from .finite import count_unusable, unusable_problem
from .manifest import MANIFEST, Manifest, read_manifest
from .noise import NOISE_TOTAL, Noise, guide_shift
from .writer import file_sha256

# What artifacts have had only since there is a search for neighbours.
_LATER = {"doctag_norms.npy", "doctag_offsets.npy"}

Array = npt.NDArray[Any]
Shape = tuple[int | None, ...]


def array_specs(
    algorithm: Algorithm, vocabulary_size: int, doctag_count: int, *, has_map: bool
) -> dict[str, tuple[str, Shape]]:
    """The .npy files that an artifact must have: name -> (dtype, shape), None for a length that is free.

    `vocabulary_text`, `vocabulary_offsets`, `vocabulary_slots`: the words and where to find them, see
    kernels/hash_table.h. Most other names are gensim's: `syn1neg` and `cum_table` (output rows and noise distribution
    of negative sampling; `noise_guide` says where to begin to look in it), `syn1` (inner nodes of the hierarchical
    softmax; word i's path is `hs_points`, `hs_codes` from `hs_offsets[i]` to `hs_offsets[i + 1]`), `word_vectors` (the
    context of DM), `sample_int` (how likely sub-sampling keeps a word, of 2^32 - 1). Method map with negative sampling
    has its own (see `rotation`): `map_syn1neg` and `map_syn1`, the same rows in another basis; `map_basis`,
    `map_eigenvalues`, `map_mean`. `doctag_offsets` and `doctag_norms` may be missing, see `doctags`.
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
    if doctag_count:
        specs |= {
            "doctag_vectors": ("<f4", (doctag_count, algorithm.vector_size)),
            "doctag_norms": ("<f4", (doctag_count,)),
            "doctag_offsets": ("<i8", (doctag_count + 1,)),
        }
    return {f"{name}.npy": spec for name, spec in specs.items()}


@dataclass(frozen=True)
class Artifact:
    """An open artifact. The arrays are read-only maps of the files, shared by all processes that open it."""

    path: Path
    manifest: Manifest
    arrays: dict[str, Array]
    """Arrays by name, as `array_specs` lists them, without the suffix."""

    @classmethod
    def open(cls, path: str | Path, *, verify: bool = False) -> "Artifact":
        """Open the artifact at `path`, checking the manifest and the shape of every file.

        `verify=True` also recomputes the hash of each file, which reads all of it. ArtifactError names what is wrong.
        """
        path = Path(path)
        manifest = read_manifest(path)
        problems = check_files(path, manifest, hashes=verify)
        if problems:
            raise ArtifactError(problems[0])
        arrays = {name.removesuffix(".npy"): _map(path / name) for name in manifest.files if name.endswith(".npy")}
        artifact = cls(path, manifest, arrays)
        artifact._check_indices()
        if verify:
            artifact.check_tables()
            artifact.check_finite()
        return artifact

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The words, in the order of the matrices' rows."""
        arrays = self.arrays
        return Vocabulary(arrays["vocabulary_text"], arrays["vocabulary_offsets"], arrays["vocabulary_slots"])

    @cached_property
    def doctags(self) -> Sequence[Tag]:
        """Tags of the training documents, in the order of `doctag_vectors`; empty if the artifact has none."""
        count = self.manifest.doctag_count
        return Doctags(self.path / DOCTAGS, count, self.arrays.get("doctag_offsets")) if count else ()

    @cached_property
    def longest_path(self) -> int:
        """Nodes above a word of the tree, at most; 0 if there is no tree."""
        offsets = self.arrays.get("hs_offsets")
        return 0 if offsets is None else int(np.diff(offsets).max())

    def _check_indices(self) -> None:
        """The kernels follow these numbers without a check, so a hostile artifact must not pass here."""
        offsets = self.arrays["vocabulary_offsets"]
        if offsets[0] != 0 or offsets[-1] != len(self.arrays["vocabulary_text"]):
            raise ArtifactError(f"{self.path / 'vocabulary_offsets.npy'}: does not cut vocabulary_text into words")
        if "cum_table" in self.arrays and self.arrays["cum_table"][-1] != NOISE_TOTAL:
            raise ArtifactError(f"{self.path / 'cum_table.npy'}: is not a cumulative distribution")
        if "hs_offsets" in self.arrays:
            offsets, points, codes = (self.arrays[name] for name in ("hs_offsets", "hs_points", "hs_codes"))
            whole = offsets[0] == 0 and offsets[-1] == len(points) == len(codes)
            if not whole or bool((offsets[1:] < offsets[:-1]).any()):
                raise ArtifactError(f"{self.path / 'hs_offsets.npy'}: does not cut hs_points and hs_codes into paths")
            if self.longest_path > CONSTANTS["MOST_NODES"]:
                raise ArtifactError(f"{self.path / 'hs_offsets.npy'}: a path is too long to be one of a tree of words")
            if len(points) and (int(points.max()) >= self.manifest.vocabulary_size or int(codes.max()) > 1):
                raise ArtifactError(f"{self.path / 'hs_points.npy'}: a path leaves the tree")
        if self.manifest.algorithm.mode == "dm_concat" and self.vocabulary.id_of("\0") is None:
            raise ArtifactError(f"{self.path / 'vocabulary_slots.npy'}: DM concat needs its null word '\\0'")

    def check_tables(self) -> None:
        """ArtifactError if words, noise or documents would not be found as they should; takes time for each of them."""
        if not self.vocabulary.is_consistent():
            raise ArtifactError(f"{self.path / 'vocabulary_slots.npy'}: does not lead from each word to its row")
        if "cum_table" in self.arrays:
            table = self.arrays["cum_table"]
            if bool((table[1:] < table[:-1]).any()):
                raise ArtifactError(f"{self.path / 'cum_table.npy'}: is not a cumulative distribution")
            if bool((Noise.of(table).guide != self.arrays["noise_guide"]).any()):
                raise ArtifactError(f"{self.path / 'noise_guide.npy'}: is not cum_table's")
        if isinstance(self.doctags, Doctags):
            self.doctags.check()
        if "doctag_norms" in self.arrays:
            expected = row_norms(self.arrays["doctag_vectors"])
            if not np.allclose(self.arrays["doctag_norms"], expected, atol=0, equal_nan=True):
                raise ArtifactError(f"{self.path / 'doctag_norms.npy'}: are not the lengths of doctag_vectors")

    def non_finite_arrays(self) -> list[str]:
        """A line for each array with numbers that are not finite; reads all of them."""
        counts = {name: count_unusable(array) for name, array in self.arrays.items() if array.dtype.kind == "f"}
        return [
            f"{self.path / name}.npy: {unusable_problem(count, self.arrays[name].size)};"
            " train or convert the model again"
            for name, count in sorted(counts.items())
            if count
        ]

    def check_finite(self) -> None:
        """ArtifactError if an array has numbers that are not finite; reads all of them."""
        if problems := self.non_finite_arrays():
            raise ArtifactError(problems[0])


def verify(path: str | Path) -> list[str]:
    """All that is wrong with the artifact at `path`, one line for each problem; empty if it is sound."""
    path = Path(path)
    try:
        manifest = read_manifest(path)
        problems = check_files(path, manifest, hashes=True)
        if not problems:
            artifact = Artifact.open(path)
            artifact.check_tables()
            problems = artifact.non_finite_arrays()
    except ArtifactError as error:
        return [str(error)]
    return problems


def check_files(path: Path, manifest: Manifest, *, hashes: bool) -> list[str]:
    """Compare the files of an artifact with its manifest; a line for each that differs."""
    specs = array_specs(
        manifest.algorithm, manifest.vocabulary_size, manifest.doctag_count, has_map=manifest.map_lambda is not None
    )
    expected = {*specs} | ({DOCTAGS} if manifest.doctag_count else set())
    listed = manifest.files.keys()
    if odd := (expected - listed - _LATER) | (listed - expected):
        return [f"{path / MANIFEST}: the model needs other files than it lists: {', '.join(sorted(odd))}"]
    problems = []
    for name, entry in sorted(manifest.files.items()):
        file = path / name
        try:
            size = file.stat().st_size
            if size != entry.size:
                problems.append(f"{file}: has {size} bytes, the manifest says {entry.size}")
            elif hashes and file_sha256(file) != entry.sha256:
                problems.append(f"{file}: its SHA-256 is not the manifest's, the file was changed or damaged")
            elif name in specs:
                problems += _check_array(file, *specs[name])
        except FileNotFoundError:
            problems.append(f"{file}: is missing")
        except OSError as error:
            problems.append(f"{file}: {error.strerror}")
    return problems


def _check_array(file: Path, dtype: str, shape: Shape) -> list[str]:
    try:
        array = _map(file)
    except Exception as error:
        # numpy's reader of headers fails in many ways on a file that is none.
        return [f"{file}: is not a .npy array: {(str(error) or type(error).__name__).splitlines()[0]}"]
    fits = len(array.shape) == len(shape) and all(
        want in (None, have) for want, have in zip(shape, array.shape, strict=True)
    )
    if array.dtype.str != dtype or not fits or not array.flags.c_contiguous:
        return [f"{file}: is {array.dtype.str} of shape {array.shape}, the model needs {dtype} of shape {shape}"]
    return []


def _map(file: Path) -> Array:
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
        # An empty array cannot be mapped (a vocabulary of one word has a tree without nodes).
        array: Array = np.empty(shape, dtype)
        array.flags.writeable = False
        return array
    return np.memmap(file, dtype, "r", start, shape).view(np.ndarray)
