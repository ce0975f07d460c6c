"""Adds a lexical index to an artifact that is being written."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..artifact import Manifest
from ..artifact.manifest import MANIFEST
from ..artifact.writer import ArrayFile
from ..lexical import TermLists
from ..lexical.postings import LEXICAL_ARRAYS


def write_lexical(
    directory: Path, manifest: Manifest, lists: Iterable[TermLists], lengths: npt.NDArray[np.uint32]
) -> Manifest:
    """Write the lexical index of the documents of the artifact in `directory`, and the artifact's new manifest.

    `lists`: all of the index, in order. `lengths`: how many terms each document has.
    """
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
    entries = {file.path.name: file.entry() for file in files.values()}
    manifest = replace(manifest, files=manifest.files | entries, lexical_index=True, digest="")
    (directory / MANIFEST).write_text(manifest.to_json(), encoding="ascii")
    return manifest
