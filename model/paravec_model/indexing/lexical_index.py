"""Adds a lexical index to an artifact that is being written."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..artifact import Artifact, Manifest
from ..artifact.manifest import MANIFEST
from ..artifact.writer import ArrayFile
from ..encoder import Encoder
from ..evaluation.lexical_length import choose_length
from ..lexical import LexicalBuilder, TermLists
from ..lexical.postings import LEXICAL_ARRAYS

# Documents that the length is chosen by.
_SAMPLE_DOCUMENTS = 1000


def add_lexical(directory: Path, manifest: Manifest, builder: LexicalBuilder) -> Manifest:
    """Write the index of the builder's documents to the artifact in `directory`, and its new manifest.

    `manifest`: that of the artifact, whose documents are the builder's, in their order.
    """
    choice = choose_length(builder.sample(_SAMPLE_DOCUMENTS), Encoder(Artifact.open(directory)))
    return write_lexical(directory, manifest, *builder.lists(), choice.length, choice.facts)


def write_lexical(
    directory: Path,
    manifest: Manifest,
    lists: Iterable[TermLists],
    lengths: npt.NDArray[np.uint32],
    length: float | None,
    facts: Mapping[str, Any],
) -> Manifest:
    """As `add_lexical`, of all `lists` and the `lengths` of documents, with a length chosen before, and its facts."""
    files = {name: ArrayFile(directory / f"{name}.npy", dtype) for name, dtype in LEXICAL_ARRAYS.items()}
    end = 0
    files["lexical_starts"].append(np.zeros(1, np.int64))
    for run in lists:
        files["lexical_terms"].append(run.terms)
        files["lexical_starts"].append(end + np.cumsum(run.sizes))
        files["lexical_documents"].append(run.documents)
        files["lexical_counts"].append(run.counts)
        end += len(run.documents)
    files["lexical_lengths"].append(lengths)
    manifest = replace(
        manifest,
        files=manifest.files | {file.path.name: file.entry() for file in files.values()},
        lexical_length=length,
        training=manifest.training | dict(facts),
        digest="",
    )
    (directory / MANIFEST).write_text(manifest.to_json(), encoding="ascii")
    return manifest
