"""The flags that name a corpus: for train, evaluate and compare."""

import argparse
from pathlib import Path
from typing import Any

from ..corpus.formats import NAMES, Corpus, CsvCorpus, FolderCorpus, JsonlCorpus, LinesCorpus, named_corpus


def add_corpus(command: argparse.ArgumentParser, *, required: bool) -> None:
    """Add the flags to a command. `required`: whether one of the corpora must be named."""
    group = command.add_argument_group("corpus", "text in UTF-8; one of --corpus, --lines, --jsonl, --csv, --folder")
    add_kinds(group, required=required)
    group.add_argument("--field", metavar="F", help="field of the text, with --jsonl")
    group.add_argument("--tag-field", metavar="F", help="field of the tag or tags, with --jsonl (default: line number)")
    group.add_argument("--column", metavar="C", help="column of the text, with --csv")
    group.add_argument("--tag-column", metavar="C", help="column of the tag, with --csv (default: row number)")


def add_kinds(group: Any, *, required: bool) -> None:
    """Add the flags that name the file or folder, one for each format, to a group of flags."""
    kinds = group.add_mutually_exclusive_group(required=required)
    kinds.add_argument("--corpus", choices=NAMES, help="lee: 300 news stories, part of gensim")
    kinds.add_argument("--lines", type=Path, metavar="FILE", help="a document on each line; its tag is its number")
    kinds.add_argument("--jsonl", type=Path, metavar="FILE", help="a JSON object on each line")
    kinds.add_argument("--csv", type=Path, metavar="FILE", help="CSV with a header")
    kinds.add_argument("--folder", type=Path, metavar="DIR", help="each *.txt file below; its tag is its path")


def check_corpus(command: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Exit with status 2 if a flag is missing, or does not go with the others."""
    for kind, needed in (("jsonl", "field"), ("csv", "column")):
        given = getattr(arguments, kind) is not None
        if given and getattr(arguments, needed) is None:
            command.error(f"--{kind} needs --{needed}, which says where the text is")
        for name in (needed, f"tag_{needed}"):
            if not given and getattr(arguments, name) is not None:
                command.error(f"--{name.replace('_', '-')} is for --{kind} only")


def has_corpus(arguments: argparse.Namespace) -> bool:
    """Whether the flags name a corpus."""
    return any(getattr(arguments, kind) is not None for kind in ("corpus", "lines", "jsonl", "csv", "folder"))


def corpus_from(arguments: argparse.Namespace) -> Corpus:
    """The corpus that the flags name."""
    if arguments.corpus is not None:
        return named_corpus(arguments.corpus)
    if arguments.jsonl is not None:
        return JsonlCorpus(arguments.jsonl, arguments.field, arguments.tag_field)
    if arguments.csv is not None:
        return CsvCorpus(arguments.csv, arguments.column, arguments.tag_column)
    if arguments.folder is not None:
        return FolderCorpus(arguments.folder)
    return LinesCorpus(arguments.lines)
