"""paravec embed: texts or files of documents in, vectors out."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..files import inputs, outputs
from ..files.compression import compression_of, inner_suffix
from ..files.inputs import Record, Source, given
from ..files.outcomes import Faults, outcomes
from ..files.parquet import import_pyarrow
from ..files.partial_output import Unfinished
from ..files.write import write
from ..problems import CommandError
from .flags import add_inference, client_of, for_people, options_of
from .tables import HEADER, row

_EXAMPLES = """examples:
  paravec embed "how do I print a page?"
  paravec embed --format json < texts.txt
  paravec embed --input texts.txt --output vectors.npy
  paravec embed --input pages.jsonl --field body --id-field url --output vectors.parquet
  paravec embed --input pages.csv.gz --on-error null --output vectors.jsonl.gz
  paravec embed --input texts.txt --output vectors.npy --resume    # go on after an interruption"""


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command."""
    command = commands.add_parser(
        "embed", parents=[common], help="embed texts", epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Embed texts given as arguments, the documents of a file, or those of standard input.",
    )  # fmt: skip
    command.add_argument("texts", nargs="*", metavar="TEXT", help="a text; without any, each document of the input")
    add_inference(command)

    group = command.add_argument_group("input", "UTF-8")
    group.add_argument("--input", type=Path, metavar="FILE", help="read documents from it, - for standard input;"
                       " .gz, .bz2, .xz and .zst are decompressed [standard input]")  # fmt: skip
    group.add_argument("--input-format", choices=tuple(inputs.FORMATS), help="what it is [by its suffix, else lines]")
    group.add_argument("--field", default="text", metavar="NAME", help="field or column of the document: a text, or a"
                       " list of tokens [%(default)s]")  # fmt: skip
    group.add_argument("--id-field", metavar="NAME", help="field or column of its id [its number, from 0]")

    group = command.add_argument_group("output", "FILE.partial and FILE.state are there until it is whole")
    group.add_argument("--output", type=Path, metavar="FILE", help="write vectors to it, - for standard output;"
                       " .jsonl may be compressed, .jsonl.gz say [standard output]")  # fmt: skip
    group.add_argument("--output-format", choices=tuple(outputs.FORMATS), help="what to write [by its suffix]")
    group.add_argument("--on-error", choices=("fail", "skip", "null"), default="fail", help="what comes of a document"
                       " at fault, or a line that cannot be read: the end, no record, one without a vector (NaN in"
                       " .npy) [%(default)s]")  # fmt: skip
    group.add_argument("--resume", action="store_true", help="go on with an output that was interrupted")
    group.add_argument("--force", action="store_true", help="overwrite an output that is there")
    command.set_defaults(run=_embed)


def _embed(arguments: argparse.Namespace) -> int:
    if arguments.texts and arguments.input:
        raise CommandError("texts are given as arguments or by --input, not both")
    source = _source(arguments)
    records = source.records() if source else given(arguments.texts)
    if str(arguments.output) == "-":
        _write_out(records, arguments)
    elif arguments.output:
        _write(source, records, arguments)
    elif arguments.output_format or arguments.resume or arguments.force:
        raise CommandError("--output-format, --resume and --force are for --output FILE")
    else:
        _print(records, arguments)
    return 0


def _source(arguments: argparse.Namespace) -> Source | None:
    if arguments.texts:
        return None
    suffix = inner_suffix(arguments.input)
    by_suffix = next((kind for kind, suffixes in inputs.FORMATS.items() if suffix in suffixes), "lines")
    return Source(
        None if str(arguments.input) == "-" else arguments.input,
        arguments.input_format or by_suffix,
        arguments.field,
        arguments.id_field,
    )


def _print(records: Iterator[Record], arguments: argparse.Namespace) -> None:
    table = for_people(arguments)
    faults = Faults()
    with client_of(arguments) as client:
        if table:
            print(HEADER)
        for outcome in outcomes(client, records, options_of(arguments), fail=arguments.on_error == "fail"):
            faults.note(outcome)
            if outcome.embedding is None and arguments.on_error == "skip":
                continue
            record = outcome.record
            if table:
                print(row(outcome))
            else:
                called = {"id": record.id} if arguments.id_field else {}
                print(outputs.json_line(called | {"text": record.document}, outcome))
    faults.tell()


def _write(source: Source | None, records: Iterator[Record], arguments: argparse.Namespace) -> None:
    kind = _output_kind(arguments)
    unfinished = Unfinished(arguments.output, resume=arguments.resume, force=arguments.force)
    if unfinished.whole:
        print(f"paravec: {arguments.output}: is there already, and whole", file=sys.stderr)
        return
    expected = source.expected if source else lambda: len(arguments.texts)
    with client_of(arguments) as client:
        write(client, records, options_of(arguments), unfinished, kind, arguments.on_error, expected)


def _write_out(records: Iterator[Record], arguments: argparse.Namespace) -> None:
    """Write the records of a file to standard output."""
    if arguments.output_format not in (None, "jsonl"):
        raise CommandError(f"--output -: {arguments.output_format} cannot be written to a pipe; jsonl can")
    if arguments.resume or arguments.force:
        raise CommandError("--resume and --force are for a file, not for --output -")
    faults = Faults()
    with client_of(arguments) as client:
        for outcome in outcomes(client, records, options_of(arguments), fail=arguments.on_error == "fail"):
            faults.note(outcome)
            if outcome.embedding or arguments.on_error == "null":
                print(outputs.json_line({"id": outcome.record.id}, outcome))
    faults.tell()


def _output_kind(arguments: argparse.Namespace) -> str:
    """The format to write; CommandError if it cannot be."""
    suffix = inner_suffix(arguments.output)
    by_suffix = next((kind for kind, output in outputs.FORMATS.items() if suffix in output.suffixes), None)
    kind: str | None = arguments.output_format or by_suffix
    if kind is None:
        raise CommandError(f"{arguments.output}: no suffix says what to write; --output-format does")
    if compression_of(arguments.output) and not outputs.FORMATS[kind].appends:
        raise CommandError(f"{arguments.output}: {kind} is not written compressed; jsonl is")
    if arguments.on_error == "skip" and not outputs.FORMATS[kind].has_ids:
        raise CommandError(f"--on-error skip: nothing in .{kind} says which documents are left out; take null")
    if kind == "parquet":
        import_pyarrow()
    return kind
