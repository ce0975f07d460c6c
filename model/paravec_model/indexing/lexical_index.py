"""Adds a lexical index to an artifact that is being written."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..artifact import Artifact, Manifest
from ..artifact.manifest import MANIFEST
from ..artifact.writer import write_array
from ..encoder import Encoder
from ..evaluation.lexical_length import choose_length
from ..lexical import LexicalBuilder, Postings
from ..lexical.postings import LEXICAL_ARRAYS

# Documents that the length is chosen by.
_SAMPLE_DOCUMENTS = 1000


def add_lexical(directory: Path, manifest: Manifest, builder: LexicalBuilder) -> Manifest:
    """Write the index of the builder's documents to the artifact in `directory`, and its new manifest.

    `manifest`: that of the artifact, whose documents are the builder's, in their order.
    """
    choice = choose_length(builder.sample(_SAMPLE_DOCUMENTS), Encoder(Artifact.open(directory)))
    return write_lexical(directory, manifest, builder.postings(), choice.length, choice.facts)


def write_lexical(
    directory: Path, manifest: Manifest, postings: Postings, length: float | None, facts: Mapping[str, Any]
) -> Manifest:
    """As `add_lexical`, of `postings`, with a length that was chosen before, and the facts of that choice."""
    arrays = postings.arrays()
    files = {
        f"{name}.npy": write_array(directory / f"{name}.npy", arrays[name], dtype)
        for name, dtype in LEXICAL_ARRAYS.items()
    }
    manifest = replace(
        manifest,
        files=manifest.files | files,
        lexical_length=length,
        training=manifest.training | dict(facts),
        digest="",
    )
    (directory / MANIFEST).write_text(manifest.to_json(), encoding="ascii")
    return manifest
