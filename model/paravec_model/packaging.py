"""Packages an artifact for registries of container images, by the specification CNCF ModelPack (modelpack/model-spec).

The package is an OCI image layout: a directory that skopeo, oras and others push. Each file of the artifact is a layer
as it is, so a layer's digest is the SHA-256 that manifest.json has for the file.
"""

import json
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from .artifact import Artifact, Manifest
from .artifact.manifest import MANIFEST, SIGNATURE, FileEntry
from .artifact.writer import HashingFile, copy_file, new_directory
from .errors import ArtifactError, OptionError

_OCI = "application/vnd.oci.image"
_MODEL = "application/vnd.cncf.model"
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")

Json = dict[str, Any]


@dataclass(frozen=True)
class Package:
    """A package that was written."""

    manifest: Manifest
    """The manifest of the artifact in it."""
    tag: str
    """The tag that its index gives it."""
    digest: str
    """The digest that a registry will name it by, as "sha256:<hex>"."""


def package(artifact: Path, output: Path, *, tag: str | None = None, license_: str | None = None) -> Package:
    """Write the package of the artifact at `artifact` to the new directory `output`.

    The tag is by default the model's version. `license_` is an SPDX expression. The same artifact, tag and license
    give the same bytes. ArtifactError if a file is not the one that the manifest lists.
    """
    manifest = Artifact.open(artifact).manifest
    tag = _checked_tag(manifest.version if tag is None else tag)
    with new_directory(output) as directory:
        blobs = directory / "blobs" / "sha256"
        blobs.mkdir(parents=True)
        layers = [_layer(artifact / name, blobs, manifest.files.get(name)) for name in _files(artifact, manifest)]
        config = _write_json(blobs, f"{_MODEL}.config.v1+json", _config(manifest, license_, layers))
        content = _image_manifest(manifest, license_, config, layers)
        described = _write_json(blobs, f"{_OCI}.manifest.v1+json", content)
        described |= {
            "artifactType": content["artifactType"],
            "annotations": {"org.opencontainers.image.ref.name": tag},
        }
        index = {"schemaVersion": 2, "mediaType": f"{_OCI}.index.v1+json", "manifests": [described]}
        (directory / "index.json").write_bytes(_bytes(index))
        (directory / "oci-layout").write_bytes(_bytes({"imageLayoutVersion": "1.0.0"}))
    return Package(manifest, tag, described["digest"])


def _checked_tag(tag: str) -> str:
    if not _TAG.fullmatch(tag):
        allowed = "1 to 128 letters, digits, '_', '.' and '-', not starting with '.' or '-'"
        raise OptionError("tag", f"{tag!r} is no tag of a registry, which has {allowed}; choose one with --tag")
    return tag


def _files(artifact: Path, manifest: Manifest) -> Iterator[str]:
    yield MANIFEST
    yield from sorted(manifest.files)
    signature = artifact / SIGNATURE
    if signature.exists() or signature.is_symlink():
        yield SIGNATURE


def _layer(file: Path, blobs: Path, listed: FileEntry | None) -> Json:
    """Copy a file to the blobs, and return its descriptor. ArtifactError if it cannot be read or is not as listed."""
    temporary = blobs / f".{file.name}"
    try:
        # No manifest lists the signature: a link could publish any file of the machine, and a pipe has no end.
        if file.name == SIGNATURE and not stat.S_ISREG(file.lstat().st_mode):
            raise ArtifactError(f"{file}: is not a regular file")
    except OSError as error:
        raise ArtifactError(f"{file}: {error.strerror}") from error
    entry = copy_file(file, temporary, listed)
    temporary.rename(blobs / entry.sha256)
    annotations = {"org.cncf.model.filepath": file.name, "org.opencontainers.image.title": file.name}
    return _descriptor(f"{_MODEL}.{_kind(file.name)}.v1.raw", entry) | {"annotations": annotations}


def _kind(name: str) -> str:
    """The kind of layer: what the model has learned, or what describes it. A client may leave out any other kind."""
    return "weight" if name.endswith(".npy") and not name.startswith("vocabulary_") else "weight.config"


def _config(manifest: Manifest, license_: str | None, layers: Sequence[Json]) -> Json:
    descriptor: Json = {
        "createdAt": _created(manifest),
        "family": "doc2vec",
        "licenses": [license_] if license_ else [],
        "name": manifest.name,
        "version": manifest.version,
    }
    return {
        "descriptor": {key: value for key, value in descriptor.items() if value},
        "config": {
            "architecture": manifest.algorithm.mode,
            "format": "paravec",
            "paramSize": _param_size(manifest),
            "precision": "fp32",
            "capabilities": {"inputTypes": ["text"], "outputTypes": ["embedding"]},
        },
        "modelfs": {"type": "layers", "diffIds": [layer["digest"] for layer in layers]},
    }


def _image_manifest(manifest: Manifest, license_: str | None, config: Json, layers: Sequence[Json]) -> Json:
    annotations = {
        "org.opencontainers.image.created": _created(manifest),
        "org.opencontainers.image.licenses": license_,
        "org.opencontainers.image.title": manifest.name,
        "org.opencontainers.image.version": manifest.version,
        "paravec.model.digest": manifest.digest,
    }
    return {
        "schemaVersion": 2,
        "mediaType": f"{_OCI}.manifest.v1+json",
        "artifactType": f"{_MODEL}.manifest.v1+json",
        "config": config,
        "layers": list(layers),
        "annotations": {key: value for key, value in annotations.items() if value},
    }


def _created(manifest: Manifest) -> str:
    """When the artifact was made, as RFC 3339; nothing if its manifest says no such time."""
    try:
        when = datetime.fromisoformat(manifest.created)
    except ValueError:
        return ""
    return when.isoformat().replace("+00:00", "Z") if when.tzinfo else ""


def _param_size(manifest: Manifest) -> str:
    """The number of trained numbers, without padding, as ModelPack writes it: 1.2M."""
    algorithm, words = manifest.algorithm, manifest.vocabulary_size
    vectors = {
        "word_vectors.npy": words,
        "syn1neg.npy": words * algorithm.vectors_per_row,
        "syn1.npy": (words - 1) * algorithm.vectors_per_row,
        "doctag_vectors.npy": manifest.doctag_count,
    }
    count = algorithm.vector_size * sum(n for name, n in vectors.items() if name in manifest.files) / 1000
    for prefix in "KMB":
        if count < 999.95:
            return f"{count:.1f}{prefix}"
        count /= 1000
    return f"{count:.1f}T"


def _write_json(blobs: Path, media_type: str, content: Json) -> Json:
    """Write a blob of JSON, and return its descriptor."""
    temporary = blobs / ".json"
    with temporary.open("wb") as file:
        out = HashingFile(file)
        out.write(_bytes(content))
    temporary.rename(blobs / out.entry().sha256)
    return _descriptor(media_type, out.entry())


def _descriptor(media_type: str, entry: FileEntry) -> Json:
    return {"mediaType": media_type, "digest": f"sha256:{entry.sha256}", "size": entry.size}


def _bytes(content: Json) -> bytes:
    return json.dumps(content, indent=2).encode("ascii") + b"\n"
