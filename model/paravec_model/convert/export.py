"""Writes the artifact of a gensim model."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import __version__
from ..artifact import Artifact, Manifest
from ..artifact.arrays import array_specs
from ..artifact.artifact import check_files
from ..artifact.doctags import Tag
from ..artifact.manifest import MANIFEST, FileEntry
from ..artifact.subsampling import sample_int
from ..artifact.writer import creation_time, new_directory, write_array, write_documents
from ..errors import ConversionError
from ..evaluation.map_lambda import DEFAULT_LAMBDA, Chooser, default
from ..indexing.lexical_index import write_lexical
from ..lexical import LexicalBuilder
from ..options import InferenceOptions
from ..text.tokenizer import Tokenizer
from ..text.vocabulary import vocabulary_arrays
from .gensim_model import GensimModel
from .map_basis import MAX_VECTOR_SIZE, map_arrays


def write_artifact(
    output: Path,
    source: GensimModel,
    *,
    name: str,
    version: str,
    tokenizer: Tokenizer,
    defaults: InferenceOptions | None = None,
    training: dict[str, Any] | None = None,
    doctags: bool = False,
    choose: Chooser | None = default,
    lexical: LexicalBuilder | None = None,
) -> Manifest:
    """Write the artifact of a gensim model to the new directory `output`, copying arrays block by block.

    `name`, `version`: recorded in the manifest. `tokenizer`: the one of training. `defaults`: options of inference, the
    model's own if None. `training`: facts to add under `training` in the manifest. `doctags`: include the tags and
    vectors of documents that were trained. `choose`: how λ of method map is chosen; None: no method map, as for models
    other than DBOW. `lexical`: the tokens of each tag, in the order of the tags, for a lexical index. ModelError if a
    part is missing or not finite, or if `output` exists.
    """
    algorithm, words = source.algorithm(), source.vocabulary()
    matrices: dict[str, Any] = source.matrices(algorithm) | vocabulary_arrays(words)
    if algorithm.mode != "dbow" or algorithm.vector_size > MAX_VECTOR_SIZE:
        choose = None
    tags, facts = list[Tag](), dict[str, Any]()
    if doctags:
        tags, vectors = source.doctags()
        if left_out := len(vectors.matrix) - len(tags):
            facts["doctags_never_trained"] = left_out
    specs = array_specs(algorithm, len(words), 0, has_map=choose is not None)
    files: dict[str, FileEntry] = {}
    with new_directory(output) as directory:
        if tags:
            files |= write_documents(directory, tags, vectors)
        for file, (dtype, shape) in specs.items():
            if file == "map_syn1neg.npy":
                matrices |= map_arrays(matrices)
            array = matrices[file.removesuffix(".npy")]
            # `check_files` below checks the widths, which are padded then.
            if array.ndim != len(shape) or shape[0] not in (None, len(array)):
                reason = " (build_vocab(update=True) leaves some models so)" if array.ndim == len(shape) else ""
                raise ConversionError(
                    f"{file}: the model's array has shape {array.shape}, the model needs {shape}{reason}"
                )
            padding = file.startswith(("syn1", "word", "map_syn1"))
            vectors_per_row = algorithm.vectors_per_row if file.startswith("syn1") else 1
            files[file] = write_array(directory / file, array, dtype, vectors_per_row=vectors_per_row, pad=padding)
        manifest = Manifest(
            name=name,
            version=version,
            created=creation_time(),
            tool=f"paravec {__version__}",
            algorithm=algorithm,
            vocabulary_size=len(words),
            doctag_count=len(tags),
            defaults=defaults or InferenceOptions(**source.defaults()),
            tokenizer=tokenizer,
            training=source.training() | facts | (training or {}),
            files=files,
            map_lambda=DEFAULT_LAMBDA if choose else None,
        )
        if problems := check_files(directory, manifest, hashes=False):
            raise ConversionError(f"the model does not fit together: {problems[0].removeprefix(f'{directory}/')}")
        (directory / MANIFEST).write_text(manifest.to_json(), encoding="ascii")
        if choose:
            counts = source.word_counts()
            choice = choose(Artifact.open(directory), counts)
            if choice.map_sample is not None:
                if counts is None:
                    raise ConversionError(
                        "the model has no word counts, which map_sample needs; leave out --map-sample"
                    )
                file, array = "map_sample_int.npy", sample_int(counts, choice.map_sample)
                files[file] = write_array(directory / file, array, "<u4")
            for array_name, array in (choice.center or {}).items():
                file = f"{array_name}.npy"
                files[file] = write_array(directory / file, array, "<f4")
            manifest = replace(
                manifest,
                map_lambda=choice.map_lambda,
                map_sample=choice.map_sample,
                map_centered=True if choice.center else None,
                files=files,
                defaults=replace(manifest.defaults, method=choice.method),
                training=manifest.training | choice.facts,
                digest="",
            )
            (directory / MANIFEST).write_text(manifest.to_json(), encoding="ascii")
        if lexical and doctags:
            lexical.select(vectors.selected.tolist())
            manifest = write_lexical(directory, manifest, *lexical.lists())
    return manifest
