"""Makes an artifact of a model with documents that it was not trained on, and changes the documents of such a one.

The artifact is the model's, with other documents: the files of the model are copied.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .. import __version__
from ..artifact import Artifact, IndexedDocuments, Manifest
from ..artifact.artifact import check_files
from ..artifact.doctags import SelectedRows, StackedRows, Tag
from ..artifact.manifest import MANIFEST
from ..artifact.writer import DOCUMENT_FILES, copy_file, creation_time, new_directory, write_documents
from ..corpus.streaming import Reservoir
from ..encoder import Encoder, Vectors
from ..errors import ArtifactError, ModelError
from ..lexical import LexicalBuilder, merged
from ..lexical.postings import LEXICAL_FILES
from ..options import InferenceOptions
from ..text.scripts import warn_if_unspaced
from ..text.token_ids import TokenIdReader
from .infer import batches
from .lexical_index import write_lexical
from .source import Document, Source

Advance = Callable[[int], object]
"""Called with the number of documents that were indexed since the call before."""


# Texts that are looked at for a warning.
_SAMPLE_DOCUMENTS = 1000


@dataclass(frozen=True)
class Target:
    """The artifact to write."""

    output: Path
    """Its directory, which must not exist."""
    name: str
    """Name of the model, for the manifest."""
    version: str
    """Version of the model."""


@dataclass(frozen=True)
class Change:
    """What became of an index."""

    manifest: Manifest
    """The manifest of the new artifact."""
    added: int
    """Documents that are new."""
    replaced: int
    """Documents that took the place of one with the same id."""
    removed: int
    """Documents that are gone."""


def new_index(
    model: Path,
    source: Source,
    path: Path,
    target: Target,
    options: InferenceOptions | None = None,
    *,
    lexical: bool = True,
    advance: Advance = int,
    threads: int | None = None,
) -> Manifest:
    """Write the artifact of the model at `model` with the documents of the file or folder `path`, and no others.

    `options`: how they and later queries are inferred; the model's defaults if None. `lexical`: also make a lexical
    index of them, of the words of all fields alike. The artifact has the same digest whatever `threads` is. ModelError
    if the model or the documents cannot be read, or `target` cannot be written.
    """
    base = Artifact.open(model)
    before = base.manifest.index
    index = IndexedDocuments(
        model=before.model if before else base.manifest.digest,
        source=source.kind,
        id_field=source.id_field,
        fields=dict(source.fields or {}),
        without_known_words=0,
    )
    options = options or base.manifest.defaults
    with new_directory(target.output) as directory:
        encoder, builder = Encoder(base, options.method), LexicalBuilder() if lexical else None
        tags, vectors = _embedded(directory, encoder, source, path, options, advance, threads, builder)
        manifest = _write(directory, base, target, options, index, tags, StackedRows([vectors]))
        return write_lexical(directory, manifest, *builder.lists()) if builder else manifest


def changed_index(
    old: Path,
    target: Target,
    *,
    add: Path | None = None,
    remove: Sequence[Sequence[Tag]] = (),
    lexical: bool | None = None,
    advance: Advance = int,
    threads: int | None = None,
) -> Change:
    """Write the index at `old` without the documents of `remove`, followed by those of the file or folder `add`.

    A document of `add` takes the place of one with the same id. `remove`: for each document, the ids that it may have.
    The artifact has the digest of an index of the same documents in the same order, made at once. Only the documents of
    `add` are tokenized and inferred. `lexical`: whether the artifact has a lexical index; None if it has one where the
    old one has. ModelError as for `new_index`, if an id to remove is not there, or if there is no lexical index to
    change.
    """
    base = Artifact.open(old)
    if lexical and not base.postings:
        raise ModelError(f"{old}: has no lexical index to change, and no texts to make one of; index all documents")
    index, options = base.manifest.index, base.manifest.defaults
    if index is None:
        raise ModelError(
            f"{old}: its documents were trained, or it has none, so no others can be added or removed; index all of"
            " them: paravec-model index MODEL --jsonl FILE"
        )
    source = Source.of(index)
    if add and not source.has_ids:
        raise ModelError(f"{old}: its documents have numbers in place of ids, so none can be added; index all of them")
    kept = np.ones(base.manifest.doctag_count, bool)
    for ids in remove:
        rows = [row for row in map(base.index_of_tag, ids) if row is not None]
        if not rows:
            raise ModelError(f"{old}: has no document with the id {str(ids[0])[:100]!r}, which is to be removed")
        kept[rows] = False
    removed = len(kept) - int(kept.sum())
    with new_directory(target.output) as directory:
        tags, parts = list[Tag](), list[Vectors | SelectedRows]()
        builder = LexicalBuilder()
        if add:
            encoder = Encoder(base)
            counted = builder if base.postings and lexical is not False else None
            tags, vectors = _embedded(directory, encoder, source, add, options, advance, threads, counted)
            parts = [vectors]
        replaced = [row for row in map(base.index_of_tag, tags) if row is not None and kept[row]]
        kept[replaced] = False
        rows_kept = np.flatnonzero(kept)
        added = len(tags) - len(replaced)
        tags = [base.doctags[row] for row in rows_kept.tolist()] + tags
        if not tags:
            raise ModelError(f"{old}: no document would be left; an index needs at least one")
        parts = [SelectedRows(base.arrays["doctag_vectors"], rows_kept), *parts]
        manifest = _write(directory, base, target, options, index, tags, StackedRows(parts))
        if lexical is not False and (old_terms := base.checked_postings()):
            old_terms, new_terms = old_terms.selected(kept), builder.postings()
            lengths = np.concatenate([old_terms.lengths, new_terms.lengths])
            manifest = write_lexical(directory, manifest, merged(old_terms, new_terms), lengths)
    return Change(manifest, added, len(replaced), removed)


def _embedded(
    directory: Path,
    encoder: Encoder,
    source: Source,
    path: Path,
    options: InferenceOptions,
    advance: Advance,
    threads: int | None,
    builder: LexicalBuilder | None = None,
) -> tuple[list[Tag], Vectors]:
    """The ids and vectors of all documents. The vectors are mapped from a file in `directory`, which has no name.

    `builder`: gets the tokens of all documents.
    """
    tags, scratch, sample = list[Tag](), directory / "vectors", Reservoir[str](_SAMPLE_DOCUMENTS)
    documents = _sampled(source.documents(path), sample)
    read = TokenIdReader(encoder.tokenize, builder.words) if builder else None
    with scratch.open("wb") as file:
        # The one pass over the documents: a batch has each document's id, tokens and vector.
        for batch in batches(encoder, documents, source.weights, options, threads, read):
            tags += batch.ids
            if builder and batch.tokens:
                builder.append(batch.tokens, len(source.weights))
            file.write(np.ascontiguousarray(batch.vectors, "<f4").tobytes())
            advance(len(batch.ids))
    warn_if_unspaced(sample.items, encoder.tokenize)
    vectors = np.memmap(scratch, "<f4", "r", shape=(len(tags), encoder.manifest.algorithm.vector_size))
    # The map keeps the content.
    scratch.unlink()
    return tags, vectors.view(np.ndarray)


def _sampled(documents: Iterable[Document], sample: Reservoir[str]) -> Iterator[Document]:
    for document in documents:
        sample.add("\n".join(document.texts))
        yield document


def _write(
    directory: Path,
    base: Artifact,
    target: Target,
    options: InferenceOptions,
    index: IndexedDocuments,
    tags: Sequence[Tag],
    vectors: StackedRows,
) -> Manifest:
    """Write all files of the artifact."""
    files = {name: entry for name, entry in base.manifest.files.items() if name not in DOCUMENT_FILES | LEXICAL_FILES}
    for name, entry in files.items():
        copy_file(base.path / name, directory / name, entry)
    files |= write_documents(directory, tags, vectors)
    norms = np.load(directory / "doctag_norms.npy", mmap_mode="r")
    # What is said of the documents that the model had.
    facts = {name: fact for name, fact in base.manifest.training.items() if name != "doctags_never_trained"}
    manifest = replace(
        base.manifest,
        name=target.name,
        version=target.version,
        created=creation_time(),
        tool=f"paravec {__version__}",
        doctag_count=len(tags),
        defaults=options,
        training=facts,
        files=files,
        lexical_index=None,
        index=replace(index, without_known_words=int(np.count_nonzero(norms == 0))),
        digest="",
    )
    if problems := check_files(directory, manifest, hashes=False):
        raise ArtifactError(problems[0])
    (directory / MANIFEST).write_text(manifest.to_json(), encoding="ascii")
    return manifest
