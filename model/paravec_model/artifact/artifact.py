"""Opens and checks a model artifact: a directory of JSON and .npy files.

Opening maps the arrays. It reads only a few numbers of them, and the tree of hierarchical softmax.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from ..errors import ArtifactError, SignatureError
from ..kernels.interface import CONSTANTS
from ..lexical import Postings
from ..text.vocabulary import Vocabulary
from .arrays import Array, array_specs, check_array, map_array
from .doctags import DOCTAGS, Doctags, Tag, row_norms
from .finite import checked, count_unusable, unusable_problem
from .manifest import MANIFEST, Manifest, manifest_bytes, parse_manifest
from .noise import NOISE_TOTAL, Noise
from .writer import file_sha256

# Artifacts from before there was a search for neighbours lack these files.
_OPTIONAL = {"doctag_norms.npy", "doctag_offsets.npy"}


class SignatureVerifier(Protocol):
    """Checks who signed an artifact: `paravec_model.signature.Verifier`."""

    def signed_files(self, directory: Path) -> dict[str, str]:
        """SHA-256 of each file that the signature in the directory covers; SignatureError if it is wrong."""


@dataclass(frozen=True)
class Artifact:
    """An open artifact. Its arrays are read-only maps of the files, so all processes that open it share the memory."""

    path: Path
    manifest: Manifest
    arrays: dict[str, Array]
    """Arrays by the names in `array_specs`, without .npy."""

    @classmethod
    def open(cls, path: str | Path, *, verify: bool = False, signed_by: SignatureVerifier | None = None) -> "Artifact":
        """Open the artifact at `path`; check the manifest, and size, dtype and shape of every file.

        `verify=True` also reads every file whole, to check hashes, tables and numbers. `signed_by` does so too, and
        checks that the artifact's signature covers every file. ArtifactError names the file and what is wrong with it.
        """
        path, verify = Path(path), verify or signed_by is not None
        manifest = _manifest(path, signed_by)
        problems = check_files(path, manifest, hashes=verify)
        if problems:
            raise ArtifactError(problems[0])
        arrays = {name.removesuffix(".npy"): map_array(path / name) for name in manifest.files if name.endswith(".npy")}
        artifact = cls(path, manifest, arrays)
        artifact._check_indices()
        if verify:
            artifact.check_tables()
            artifact.check_finite()
        return artifact

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The words, in the order of the rows of the matrices."""
        arrays = self.arrays
        return Vocabulary(arrays["vocabulary_text"], arrays["vocabulary_offsets"], arrays["vocabulary_slots"])

    @cached_property
    def doctags(self) -> Sequence[Tag]:
        """The tags of the training documents, in the order of `doctag_vectors`; empty if the artifact has none."""
        count = self.manifest.doctag_count
        return Doctags(self.path / DOCTAGS, count, self.arrays.get("doctag_offsets")) if count else ()

    def index_of_tag(self, tag: Tag) -> int | None:
        """The row of a tag in `doctag_vectors`; None if no training document has it."""
        return self.doctags.index_of(tag) if isinstance(self.doctags, Doctags) else None

    def document_vectors(self, rows: Sequence[int]) -> Array:
        """A copy of these rows of `doctag_vectors`, float32 of shape (rows, vector_size).

        NotFiniteError if one holds NaN or infinity.
        """
        return checked(self.arrays["doctag_vectors"][rows, : self.manifest.algorithm.vector_size])

    @cached_property
    def postings(self) -> Postings | None:
        """The documents by their terms; None if the artifact has no lexical index."""
        return Postings.of(self.arrays) if "lexical_terms" in self.arrays else None

    @cached_property
    def longest_path(self) -> int:
        """Nodes on the longest path of the Huffman tree; 0 without a tree."""
        offsets = self.arrays.get("hs_offsets")
        return 0 if offsets is None else int(np.diff(offsets).max())

    def _check_indices(self) -> None:
        """Check the numbers that kernels use as indices without a check of their own: an artifact may be hostile."""
        offsets = self.arrays["vocabulary_offsets"]
        if offsets[0] != 0 or offsets[-1] != len(self.arrays["vocabulary_text"]):
            raise ArtifactError(f"{self.path / 'vocabulary_offsets.npy'}: does not split vocabulary_text into words")
        if "cum_table" in self.arrays and self.arrays["cum_table"][-1] != NOISE_TOTAL:
            raise ArtifactError(f"{self.path / 'cum_table.npy'}: is not a cumulative distribution")
        if "hs_offsets" in self.arrays:
            offsets, points, codes = (self.arrays[name] for name in ("hs_offsets", "hs_points", "hs_codes"))
            complete = offsets[0] == 0 and offsets[-1] == len(points) == len(codes)
            if not complete or bool((offsets[1:] < offsets[:-1]).any()):
                raise ArtifactError(f"{self.path / 'hs_offsets.npy'}: does not split hs_points and hs_codes into paths")
            if self.longest_path > CONSTANTS["MAX_PATH_NODES"]:
                raise ArtifactError(f"{self.path / 'hs_offsets.npy'}: a path is too long for a Huffman tree")
            if len(points) and (int(points.max()) >= self.manifest.vocabulary_size or int(codes.max()) > 1):
                raise ArtifactError(f"{self.path / 'hs_points.npy'}: a path leaves the tree")
        if self.postings and (problem := self.postings.outline_problem(self.manifest.doctag_count)):
            raise ArtifactError(f"{self.path / problem}")
        if self.manifest.algorithm.mode == "dm_concat" and self.vocabulary.id_of("\0") is None:
            raise ArtifactError(f"{self.path / 'vocabulary_slots.npy'}: lacks the null word '\\0' of DM concat")

    def check_tables(self) -> None:
        """ArtifactError unless the tables for finding words, noise words and doctags are right. Reads all of them."""
        if not self.vocabulary.is_consistent():
            raise ArtifactError(f"{self.path / 'vocabulary_slots.npy'}: does not map each word to its row")
        if "cum_table" in self.arrays:
            table = self.arrays["cum_table"]
            if bool((table[1:] < table[:-1]).any()):
                raise ArtifactError(f"{self.path / 'cum_table.npy'}: is not a cumulative distribution")
            if bool((Noise.of(table).guide != self.arrays["noise_guide"]).any()):
                raise ArtifactError(f"{self.path / 'noise_guide.npy'}: does not belong to cum_table.npy")
        if isinstance(self.doctags, Doctags):
            self.doctags.check()
        if "doctag_norms" in self.arrays:
            expected = row_norms(self.arrays["doctag_vectors"])
            if not np.allclose(self.arrays["doctag_norms"], expected, atol=0, equal_nan=True):
                raise ArtifactError(f"{self.path / 'doctag_norms.npy'}: does not hold the norms of doctag_vectors")
        self.checked_postings()

    def checked_postings(self) -> Postings | None:
        """`postings`; ArtifactError if they are damaged. Reads all of them."""
        if self.postings and (problem := self.postings.content_problem()):
            raise ArtifactError(f"{self.path / problem}")
        return self.postings

    def non_finite_arrays(self) -> list[str]:
        """One line for each array that holds NaN, infinity or huge numbers. Reads all arrays of floats."""
        counts = {name: count_unusable(array) for name, array in self.arrays.items() if array.dtype.kind == "f"}
        return [
            f"{self.path / name}.npy: {unusable_problem(count, self.arrays[name].size)};"
            " train or convert the model again"
            for name, count in sorted(counts.items())
            if count
        ]

    def check_finite(self) -> None:
        """ArtifactError if an array holds NaN, infinity or huge numbers. Reads all arrays of floats."""
        if problems := self.non_finite_arrays():
            raise ArtifactError(problems[0])


def verify(path: str | Path, *, signed_by: SignatureVerifier | None = None) -> list[str]:
    """All problems of the artifact at `path`, one line each; empty if it is sound. Reads every file whole.

    A wrong signature, which only `signed_by` checks, is the one problem that is then named.
    """
    path = Path(path)
    try:
        manifest = _manifest(path, signed_by)
        problems = check_files(path, manifest, hashes=True)
        if not problems:
            artifact = Artifact.open(path)
            artifact.check_tables()
            problems = artifact.non_finite_arrays()
    except ArtifactError as error:
        return [str(error)]
    return problems


def _manifest(path: Path, signed_by: SignatureVerifier | None) -> Manifest:
    """The manifest; with `signed_by`, SignatureError unless it is signed, and the signed hashes are those it lists.

    Its files then have the signed hashes if they have those of the manifest, so each is hashed once, by `check_files`.
    """
    if signed_by is None:
        return parse_manifest(path, manifest_bytes(path))
    signed = signed_by.signed_files(path)
    raw = manifest_bytes(path)
    # Compared before it is parsed, so that nothing is parsed that nobody signed.
    if hashlib.sha256(raw).hexdigest() != signed.pop(MANIFEST, None):
        raise SignatureError(f"{path / MANIFEST}: is not the signed one; it was changed, or the signature is another's")
    manifest = parse_manifest(path, raw)
    listed = {name: entry.sha256 for name, entry in manifest.files.items()}
    if differing := sorted(name for name, _ in signed.items() ^ listed.items()):
        raise SignatureError(
            f"{path}: is signed with other files than its manifest lists: {differing[0][:80]!r};"
            " sign the artifact again"
        )
    return manifest


def check_files(path: Path, manifest: Manifest, *, hashes: bool) -> list[str]:
    """Compare the files of an artifact with its manifest. Returns one line for each file that differs."""
    specs = array_specs(
        manifest.algorithm,
        manifest.vocabulary_size,
        manifest.doctag_count,
        has_map=manifest.map_lambda is not None,
        has_lexical=manifest.lexical_index is not None,
        has_map_sample=manifest.map_sample is not None,
        has_map_center=manifest.map_centered is not None,
    )
    expected = {*specs} | ({DOCTAGS} if manifest.doctag_count else set())
    listed = manifest.files.keys()
    if wrong := (expected - listed - _OPTIONAL) | (listed - expected):
        return [f"{path / MANIFEST}: lists other files than the model needs: {', '.join(sorted(wrong))}"]
    problems = []
    for name, entry in sorted(manifest.files.items()):
        file = path / name
        try:
            size = file.stat().st_size
            if size != entry.size:
                problems.append(f"{file}: has {size} bytes, the manifest says {entry.size}")
            elif hashes and file_sha256(file) != entry.sha256:
                problems.append(f"{file}: its SHA-256 differs from the manifest's: the file was changed or damaged")
            elif name in specs:
                problems += check_array(file, *specs[name])
        except FileNotFoundError:
            problems.append(f"{file}: is missing")
        except OSError as error:
            problems.append(f"{file}: {error.strerror}")
    return problems
