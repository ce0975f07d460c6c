"""Adds a lexical index to an artifact that is being written."""

from dataclasses import replace
from pathlib import Path

from ..artifact import Artifact, Manifest
from ..artifact.manifest import MANIFEST
from ..artifact.writer import write_array
from ..encoder import Encoder
from ..evaluation.lexical_length import choose_length
from ..lexical import LexicalBuilder
from ..lexical.index import LEXICAL_ARRAYS

# Documents that the length is chosen by.
_SAMPLE_DOCUMENTS = 1000


def add_lexical(directory: Path, manifest: Manifest, builder: LexicalBuilder) -> Manifest:
    """Write the index of the builder's documents to the artifact in `directory`, and its new manifest.

    `manifest`: that of the artifact, whose documents are the builder's, in their order.
    """
    choice = choose_length(builder.sample(_SAMPLE_DOCUMENTS), Encoder(Artifact.open(directory)))
    arrays = builder.arrays()
    files = {
        f"{name}.npy": write_array(directory / f"{name}.npy", arrays[name], dtype)
        for name, dtype in LEXICAL_ARRAYS.items()
    }
    manifest = replace(
        manifest,
        files=manifest.files | files,
        lexical_length=choice.length,
        training=manifest.training | choice.facts,
        digest="",
    )
    (directory / MANIFEST).write_text(manifest.to_json(), encoding="ascii")
    return manifest
