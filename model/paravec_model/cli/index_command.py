"""paravec-model index: make a model's documents searchable that it was not trained on, and change them."""

import contextlib
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ..artifact import Manifest
from ..errors import OptionError
from .arguments import inference_options

if TYPE_CHECKING:
    from ..indexing.index import Advance
    from ..indexing.source import Source


def index_documents(arguments: Namespace, name: str) -> int:
    """Write a new index, or a changed one; status 0."""
    from ..artifact import read_manifest
    from ..indexing.index import Target, changed_index, new_index
    from ..indexing.source import parse_ids

    target = Target(arguments.output, name, arguments.model_version)
    if arguments.add is not None or arguments.remove:
        remove = parse_ids(arguments.remove)
        with _progress() as advance:
            change = changed_index(
                arguments.artifact, target, add=arguments.add, remove=remove, lexical=arguments.lexical, advance=advance
            )
        counts = {"added": change.added, "replaced": change.replaced, "removed": change.removed}
        _report(arguments.output, change.manifest, counts)
        return 0
    source, path = _source(arguments)
    options = inference_options(arguments, asdict(read_manifest(arguments.artifact).defaults))
    try:
        with _progress() as advance:
            manifest = new_index(
                arguments.artifact,
                source,
                path,
                target,
                options,
                lexical=arguments.lexical is not False,
                advance=advance,
            )
    except OptionError as error:
        raise OptionError("infer_method" if error.field == "method" else error.field, error.problem) from error
    _report(arguments.output, manifest, {})
    return 0


def _source(arguments: Namespace) -> "tuple[Source, Path]":
    """What the flags name: the source, and its file or folder."""
    from ..corpus.formats import named_corpus
    from ..indexing.source import Source, field_weights

    if arguments.corpus is not None:
        return Source(arguments.corpus), named_corpus(arguments.corpus).path
    if arguments.jsonl is not None:
        return Source("jsonl", arguments.id_field, field_weights(arguments.field)), arguments.jsonl
    if arguments.csv is not None:
        return Source("csv", arguments.id_column, field_weights(arguments.column)), arguments.csv
    if arguments.folder is not None:
        return Source("folder"), arguments.folder
    return Source("lines"), arguments.lines


@contextlib.contextmanager
def _progress() -> "Iterator[Advance]":
    """A bar on stderr if that is a terminal; none without tqdm, which serving does not need."""
    try:
        from tqdm import tqdm
    except ImportError:
        yield int
        return
    with tqdm(desc="indexing", unit=" documents", disable=None) as shown:
        yield shown.update


def _report(output: Path, manifest: Manifest, counts: dict[str, int]) -> None:
    parts = [f"{output}: {manifest.name} {manifest.version} {manifest.digest}, {manifest.doctag_count:,} documents"]
    parts += [f"{count:,} {what}" for what, count in counts.items()]
    if manifest.index and (unknown := manifest.index.without_known_words):
        found = "found by words only" if manifest.lexical_index else "never found"
        parts.append(f"{unknown:,} without a word that the model knows, which are {found}")
    print(", ".join(parts))
