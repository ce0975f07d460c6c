"""The flags of index."""

import argparse
from pathlib import Path

from .corpus_flags import add_kinds, has_corpus

_FIELDS = (("jsonl", "field", "id_field"), ("csv", "column", "id_column"))


def add_index(command: argparse.ArgumentParser) -> None:
    """Add the flags of `index`, without those of inference."""
    command.add_argument("artifact", type=Path, metavar="MODEL", help="the model, or the index to change")
    command.add_argument("--output", type=Path, required=True, metavar="DIR", help="the artifact; must not exist yet")
    command.add_argument("--name", help="name of the model (default: the output's folder name)")
    command.add_argument("--model-version", default="1", metavar="V", help="version of the model (default %(default)s)")
    group = command.add_argument_group("documents", "of a new index; text in UTF-8")
    add_kinds(group, required=False)
    text = "field of the text, with --jsonl; may be repeated, with weights: --field title=2 --field body"
    group.add_argument("--field", action="append", metavar="F[=W]", help=text)
    group.add_argument("--id-field", metavar="F", help="field of the id, with --jsonl (default: line number)")
    group.add_argument("--column", action="append", metavar="C[=W]", help="column of the text, with --csv; as --field")
    group.add_argument("--id-column", metavar="C", help="column of the id, with --csv (default: row number)")
    text = "find documents by their words (BM25) too, weighed with the vectors (default: yes)"
    command.add_argument("--lexical", action=argparse.BooleanOptionalAction, help=text)
    group = command.add_argument_group("change", "makes another version of an index; only new documents are inferred")
    text = "add documents, from a file with the index's format and fields; they replace those of the same id"
    group.add_argument("--add", type=Path, metavar="FILE", help=text)
    text = "remove the documents with these ids (may be repeated)"
    group.add_argument("--remove", action="extend", nargs="+", default=[], metavar="ID", help=text)


def check_index(command: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Exit with status 2 if a flag is missing, or does not go with the others."""
    changes = arguments.add is not None or bool(arguments.remove)
    if changes == has_corpus(arguments):
        command.error("name documents for a new index (--jsonl, --csv, --folder, --lines), or --add and --remove")
    for kind, needed, identity in _FIELDS:
        given = getattr(arguments, kind) is not None
        if given and not getattr(arguments, needed):
            command.error(f"--{kind} needs --{needed}, which says where the text is")
        for name in (needed, identity):
            if not given and getattr(arguments, name) is not None:
                command.error(f"--{name.replace('_', '-')} is for --{kind} only")
    inference = [name for name, value in vars(arguments).items() if name.startswith("infer_") and value is not None]
    if changes and inference:
        flag = inference[0].replace("_", "-")
        command.error(f"--{flag} is for a new index: the documents of one are all inferred alike")
