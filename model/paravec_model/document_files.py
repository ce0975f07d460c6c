"""Writes the vectors of the training documents as files that other programs read: word2vec text, .npy, Parquet."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .artifact import Artifact
from .artifact.doctags import Tag
from .artifact.finite import checked, row_blocks, unit_rows
from .artifact.writer import check_output, write_json
from .errors import ModelError

Vectors = npt.NDArray[np.float32]

SUFFIXES = {"word2vec": (".txt", ".vec", ".w2v"), "npy": (".npy",), "parquet": (".parquet", ".pq")}
"""File formats with their suffixes."""


def format_of(path: Path) -> str:
    """The format that a file's suffix names; ModelError if it names none."""
    for name, suffixes in SUFFIXES.items():
        if path.suffix.lower() in suffixes:
            return name
    raise ModelError(f"{path}: its suffix names no format; --format does: {', '.join(SUFFIXES)}")


def tags_file(path: Path) -> Path:
    """The file of the tags beside a .npy file, which holds vectors only."""
    return path.with_name(f"{path.stem}.tags.json")


def write_documents(artifact: Artifact, path: Path, file_format: str, *, normalize: bool = False) -> int:
    """Write tag and vector of each training document to `path`. Returns the number of documents.

    `file_format`: `word2vec` is text, a line with the counts and then a line for each document, as gensim's
    `load_word2vec_format` reads it. `npy` is a float32 matrix, with the tags as a JSON list in `tags_file(path)`.
    `parquet` has the columns `tag` and `vector`. `normalize` scales each vector to unit L2 length (a zero vector stays
    zero). Vectors are read in blocks, so they may be larger than memory.

    Raises ModelError if the artifact has no training documents, the file exists or cannot be written, or the format
    cannot hold a tag; NotFiniteError if a vector holds NaN or infinity.
    """
    if not artifact.manifest.doctag_count:
        raise ModelError(f"{artifact.path}: holds no documents; make it with --doctags, or index some")
    write = _WRITERS[file_format]
    check_output(path)
    with contextlib.ExitStack() as files:
        paths = [path, tags_file(path)] if file_format == "npy" else [path]
        try:
            write(artifact, _blocks(artifact, normalize), *[files.enter_context(_new_file(one)) for one in paths])
        except UnicodeEncodeError:
            raise ModelError(f"{path}: a tag has a lone surrogate, which UTF-8 cannot hold; npy can") from None
    return artifact.manifest.doctag_count


def _blocks(artifact: Artifact, normalize: bool) -> Iterator[Vectors]:
    """The documents' vectors in blocks of rows, without the padding of rows."""
    blocks = row_blocks(artifact.arrays["doctag_vectors"][:, : artifact.manifest.algorithm.vector_size])
    return map(unit_rows, map(checked, blocks)) if normalize else map(checked, blocks)


@contextlib.contextmanager
def _new_file(path: Path) -> Iterator[Path]:
    """A temporary file that is renamed to `path` when the block succeeds, and removed when it fails."""
    check_output(path)
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.rename(path)
    except OSError as error:
        raise ModelError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        # A name that is too long cannot be removed either.
        with contextlib.suppress(OSError):
            temporary.unlink()


def _check_distinct(tags: Sequence[Tag]) -> None:
    """ModelError if a number and a text among the tags are written the same."""
    numbers = {str(tag) for tag in tags if isinstance(tag, int)}
    if numbers and (same := numbers.intersection(tag for tag in tags if isinstance(tag, str))):
        raise ModelError(f"tag {min(same)!r} is there as a number and as a text, which only npy can tell apart")


def _write_word2vec(artifact: Artifact, blocks: Iterator[Vectors], path: Path) -> None:
    _check_distinct(artifact.doctags)
    tags = iter(artifact.doctags)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(f"{artifact.manifest.doctag_count} {artifact.manifest.algorithm.vector_size}\n")
        for block in blocks:
            # NumPy writes the fewest digits that give the same float32.
            for row in block.astype("U16").tolist():
                file.write(f"{_word(next(tags))} {' '.join(row)}\n")


def _word(tag: Tag) -> str:
    """The tag as a word of word2vec's text, whose words end at white space."""
    word = str(tag)
    if word.split() != [word]:
        raise ModelError(
            f"tag {word!r}: is empty or has white space, which word2vec text cannot hold; npy and parquet can"
        )
    return word


def _write_npy(artifact: Artifact, blocks: Iterator[Vectors], path: Path, tags: Path) -> None:
    shape = (artifact.manifest.doctag_count, artifact.manifest.algorithm.vector_size)
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for block in blocks:
            file.write(block.tobytes())
    write_json(tags, artifact.doctags)


def _write_parquet(artifact: Artifact, blocks: Iterator[Vectors], path: Path) -> None:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ModelError("Parquet needs pyarrow: pip install pyarrow") from None
    manifest, tags = artifact.manifest, artifact.doctags
    is_number = all(isinstance(tag, int) and abs(tag) < 2**63 for tag in tags)
    if not is_number:
        _check_distinct(tags)
    size = manifest.algorithm.vector_size
    schema = pyarrow.schema(
        [
            ("tag", pyarrow.int64() if is_number else pyarrow.string()),
            ("vector", pyarrow.list_(pyarrow.float32(), size)),
        ],
        {"paravec.model": json.dumps({"name": manifest.name, "version": manifest.version, "digest": manifest.digest})},
    )
    done = 0
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        for block in blocks:
            part: list[Any] = list(tags[done : done + len(block)])
            keys = pyarrow.array(part if is_number else list(map(str, part)), schema.field("tag").type)
            values = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(block.reshape(-1)), size)
            writer.write_table(pyarrow.Table.from_arrays([keys, values], schema=schema))
            done += len(block)


_WRITERS: dict[str, Callable[..., None]] = {
    "word2vec": _write_word2vec,
    "npy": _write_npy,
    "parquet": _write_parquet,
}
