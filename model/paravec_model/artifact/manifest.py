"""manifest.json: all facts about an artifact except its numbers, and a hash of each of its files."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ArtifactError, OptionError
from ..options import Algorithm, InferenceOptions
from ..text.tokenizer import Tokenizer, tokenizer_from_dict, tokenizer_to_dict
from .typed import typed

MANIFEST = "manifest.json"
SIGNATURE = "model.sig"
"""The file of the signature, by OpenSSF model signing. No manifest lists it, because it signs the manifest too."""
FORMAT_VERSION = 2
_NEW_FORMAT_VERSION = 3
# Fields that format 3 added. A manifest with one of them has format 3, so that an older paravec refuses it; one without
# them has format 2 and the digest that it always had.
_NEW_FIELDS = ("map_sample", "map_centered", "lexical_index")

# Fields that are not part of the digest: the same model made again has the same digest.
_OUTSIDE_DIGEST = ("created", "tool", "digest", "checksum")

MAX_WEIGHT = 1e6
"""The greatest weight of a field of documents."""


@dataclass(frozen=True)
class FileEntry:
    """Size in bytes and SHA-256, in hexadecimal, of one file of the artifact."""

    size: int
    sha256: str


@dataclass(frozen=True)
class IndexedDocuments:
    """Documents that `paravec-model index` embedded with a model that was not trained on them.

    `defaults` of the manifest are the options that it used.
    """

    model: str
    """Digest of the model that embedded them."""
    source: str
    """Format of the files that they come from, `kind` of a `Corpus`."""
    id_field: str | None
    """Field or column of their ids; None where the format numbers or names them."""
    fields: dict[str, Any]
    """Weight of each field or column; empty where the format has neither."""
    without_known_words: int
    """How many have no word that the model knows: only a lexical index finds them."""

    def __post_init__(self) -> None:
        if bool(self.fields) != (self.source in ("jsonl", "csv")):
            raise OptionError("field", f"documents of {self.source} have {'no' if self.fields else 'named'} fields")
        for name, weight in self.fields.items():
            if type(weight) not in (int, float) or not 0 < weight <= MAX_WEIGHT:
                raise OptionError("field", f"the weight of {name!r} must be above 0 and at most {MAX_WEIGHT:g}")


@dataclass(frozen=True)
class Manifest:
    """The parsed manifest.json of an artifact."""

    name: str
    """Name of the model, used in paths and labels."""
    version: str
    """Version of the model, chosen by its maker."""
    created: str
    """When the artifact was made, ISO 8601 in UTC."""
    tool: str
    """The program that made it, e.g. "paravec 0.1.0"."""
    algorithm: Algorithm
    """Architecture and hyper-parameters."""
    vocabulary_size: int
    """Number of words, which is the number of rows of each matrix."""
    doctag_count: int
    """Number of documents in the artifact, trained or indexed; 0 if it has none."""
    defaults: InferenceOptions
    """Options of inference for callers that set none."""
    tokenizer: Tokenizer
    """The tokenizer that training used."""
    training: dict[str, Any]
    """Parameters and source of the training, for people. Inference does not use it."""
    files: dict[str, FileEntry]
    """The other files of the artifact."""
    map_lambda: float | None = None
    """λ of method map, the precision of its prior. None if the artifact does not support the method."""
    lexical_index: bool | None = None
    """Whether the artifact has a lexical index. None, and absent from the file, if not."""
    index: IndexedDocuments | None = None
    """Where the documents come from if they were indexed. None if they were trained, or if there are none."""
    map_sample: float | None = None
    """Threshold of sub-sampling in method map. None, and absent from the file, if it is the algorithm's `sample`."""
    map_centered: bool | None = None
    """Whether method map has a center. None, and absent from the file, if not."""
    digest: str = field(default="")
    """Identity of the model: SHA-256 of all fields above except `created` and `tool`, as "sha256:<hex>"."""

    def __post_init__(self) -> None:
        check_name("name", self.name)
        check_name("version", self.version)
        if not 1 <= self.vocabulary_size < 2**31:
            raise OptionError("vocabulary_size", f"must be 1 to 2^31 - 1, not {self.vocabulary_size}")
        if self.map_lambda is not None:
            if self.algorithm.mode != "dbow":
                raise OptionError("map_lambda", f"must be null: method map is for DBOW, not {self.algorithm.mode}")
            if not 1e-6 <= self.map_lambda <= 1e6:
                raise OptionError("map_lambda", f"must be 1e-06 to 1e+06, not {self.map_lambda:g}")
        elif self.defaults.method == "map":
            raise OptionError("method", "must be sgd: the artifact has no map_lambda, so it does not support map")
        if self.lexical_index is not None and not (self.lexical_index and self.doctag_count):
            raise OptionError("lexical_index", "must be absent, or true for an artifact with documents")
        if self.index and not self.doctag_count:
            raise OptionError("index", "must be null: the artifact has no documents")
        if self.map_sample is not None:
            if self.map_lambda is None:
                raise OptionError("map_sample", "must be absent: the artifact has no map_lambda")
            if not 1e-9 <= self.map_sample < 1:
                raise OptionError("map_sample", f"must be 1e-09 to below 1, not {self.map_sample:g}")
        if self.map_centered is not None and not (self.map_centered and self.map_lambda and self.algorithm.negative):
            raise OptionError("map_centered", "must be absent, or true for method map with negative sampling")
        if not self.digest:
            object.__setattr__(self, "digest", _hash(self._to_dict(), without=_OUTSIDE_DIGEST))

    def to_json(self) -> str:
        """The text of manifest.json. Equal manifests give equal text."""
        content = self._to_dict()
        content["checksum"] = _hash(content, without=("checksum",))
        return _text(content)

    def _to_dict(self) -> dict[str, Any]:
        content = asdict(self) | {"tokenizer": tokenizer_to_dict(self.tokenizer)}
        for name in _NEW_FIELDS:
            if content[name] is None:
                del content[name]
        if self.index is None:
            # Models have the digests that they had before there was an index. An older paravec refuses the field.
            del content["index"]
        content["format_version"] = _format_version(content)
        return dict(sorted(content.items()))


def _format_version(content: dict[str, Any]) -> int:
    return _NEW_FORMAT_VERSION if content.keys() & set(_NEW_FIELDS) else FORMAT_VERSION


def check_name(what: str, value: str) -> None:
    """OptionError if a name cannot be a folder name and a label."""
    if not value or len(value) > 100 or value.startswith(".") or "/" in value or not value.isprintable():
        raise OptionError(what, f"{value!r} must be 1 to 100 printable characters, without '/', not starting with '.'")


def read_manifest(directory: Path) -> Manifest:
    """Read and check the manifest of the artifact at `directory`; ArtifactError if it is missing or damaged."""
    return parse_manifest(directory, manifest_bytes(directory))


def manifest_bytes(directory: Path) -> bytes:
    """The content of manifest.json of the artifact at `directory`; ArtifactError if it cannot be read."""
    path = directory / MANIFEST
    # os.path.isfile returns False for an invalid path, where Path.is_file raises.
    if os.path.isfile(directory):  # noqa: PTH113
        raise ArtifactError(
            f"{directory}: is a file, not an artifact directory; if gensim saved it, convert it first:"
            f" paravec-model convert {directory} OUTPUT"
        )
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ArtifactError(f"{path}: not found; an artifact is a directory made by paravec-model") from None
    except OSError as error:
        raise ArtifactError(f"{path}: {error.strerror}") from error


def parse_manifest(directory: Path, raw: bytes) -> Manifest:
    """Parse and check the content of the manifest of the artifact at `directory`; ArtifactError if it is damaged."""
    path = directory / MANIFEST
    try:
        text = raw.decode("utf-8")
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path}: is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ArtifactError(f"{path}: must hold a JSON object")
    if content.get("format_version") != _format_version(content):
        raise ArtifactError(
            f"{path}: format version {content.get('format_version')!r} is not known,"
            f" this paravec reads versions {FORMAT_VERSION} and {_NEW_FORMAT_VERSION};"
            " install a paravec that reads it, or train or convert again"
        )
    if content.get("checksum") != _hash(content, without=("checksum",)) or text != _text(content):
        raise ArtifactError(f"{path}: its checksum is wrong: the manifest was changed or damaged")
    if content.get("digest") != _hash(content, without=_OUTSIDE_DIGEST):
        raise ArtifactError(f"{path}: its digest is wrong: the manifest was changed or damaged")
    try:
        return _parse(content)
    except OptionError as error:
        raise ArtifactError(f"{path}: {error}") from error


def _parse(content: dict[str, Any]) -> Manifest:
    rest = {k: v for k, v in content.items() if k not in ("format_version", "checksum")}
    for section, kind in (("algorithm", Algorithm), ("defaults", InferenceOptions)):
        rest[section] = typed(kind, rest.get(section), section)
    if not isinstance(rest.get("tokenizer"), dict) or not isinstance(rest.get("files"), dict):
        raise OptionError("manifest", "tokenizer and files must be objects")
    rest["tokenizer"] = tokenizer_from_dict(rest["tokenizer"])
    # Artifacts from before there was method map lack the one, those that use nothing new the others.
    rest = dict.fromkeys(("map_lambda", *_NEW_FIELDS)) | rest
    if rest.setdefault("index", None) is not None:
        rest["index"] = typed(IndexedDocuments, rest["index"], "index")
    rest["files"] = {name: typed(FileEntry, entry, name) for name, entry in rest["files"].items()}
    return typed(Manifest, rest, "manifest")


def _text(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=True) + "\n"


def _hash(content: dict[str, Any], without: tuple[str, ...]) -> str:
    kept = {k: v for k, v in content.items() if k not in without}
    canonical = json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return "sha256:" + hashlib.sha256(canonical.encode("ascii")).hexdigest()
