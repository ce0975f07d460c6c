"""paravec embed: embeds texts, lines or the documents of a file."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import CommandError
from ..files import inputs, outputs
from ..files.compression import compression_of, format_suffix
from ..files.inputs import Record, Source, text_records
from ..files.outcomes import FailureSummary, embed_records
from ..files.partial_output import PartialOutput
from ..files.write import write
from ..optional import import_pyarrow
from .flags import add_inference_flags, make_client, make_options
from .tables import HEADER, table_row, wants_table

_EXAMPLES = """examples:
  paravec embed "how do I print a page?"
  paravec embed --format json < texts.txt
  paravec embed --input texts.txt --output vectors.npy
  paravec embed --input pages.jsonl --field body --id-field url --output vectors.parquet
  paravec embed --input pages.csv.gz --on-error null --output vectors.jsonl.gz
  paravec embed --input texts.txt --output vectors.npy --resume    # after an interruption"""


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command."""
    command = commands.add_parser(
        "embed", parents=[common], help="embed texts", epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Embed texts given as arguments, the documents of a file, or those of standard input.",
    )  # fmt: skip
    command.add_argument("texts", nargs="*", metavar="TEXT", help="a text; without any, each document of the input")
    add_inference_flags(command)

    group = command.add_argument_group("input", "text is UTF-8")
    group.add_argument("--input", type=Path, metavar="FILE", help="read documents from it, - for standard input;"
                       " .gz, .bz2, .xz and .zst are decompressed [standard input]")  # fmt: skip
    group.add_argument(
        "--input-format", choices=tuple(inputs.FORMATS), help="format of the input [by its suffix, else lines]"
    )
    group.add_argument("--field", default="text", metavar="NAME", help="field or column of the document: a text, or a"
                       " list of tokens [%(default)s]")  # fmt: skip
    group.add_argument("--id-field", metavar="NAME", help="field or column of the document's id [number, from 0]")

    group = command.add_argument_group("output", "FILE.partial and FILE.state exist until FILE is complete")
    group.add_argument("--output", type=Path, metavar="FILE", help="write vectors to it, - for standard output;"
                       " .jsonl can be compressed, e.g. .jsonl.gz [standard output]")  # fmt: skip
    group.add_argument("--output-format", choices=tuple(outputs.FORMATS), help="format of the output [by its suffix]")
    group.add_argument("--on-error", choices=("fail", "skip", "null"), default="fail", help="on an invalid"
                       " document or a line that cannot be read: stop, write no record, or write a record without a"
                       " vector (NaN in .npy) [%(default)s]")  # fmt: skip
    group.add_argument("--resume", action="store_true", help="continue an output that was interrupted")
    group.add_argument("--force", action="store_true", help="overwrite an existing output")
    command.set_defaults(run=_embed)


def _embed(arguments: argparse.Namespace) -> int:
    if arguments.texts and arguments.input:
        raise CommandError("give texts as arguments or with --input, not both")
    source = _source(arguments)
    records = source.records() if source else text_records(arguments.texts)
    if str(arguments.output) == "-":
        _write_to_stdout(records, arguments)
    elif arguments.output:
        _write_to_file(source, records, arguments)
    elif arguments.output_format or arguments.resume or arguments.force:
        raise CommandError("--output-format, --resume and --force are for --output FILE")
    else:
        _print_vectors(records, arguments)
    return 0


def _source(arguments: argparse.Namespace) -> Source | None:
    if arguments.texts:
        return None
    suffix = format_suffix(arguments.input)
    by_suffix = next((name for name, suffixes in inputs.FORMATS.items() if suffix in suffixes), "lines")
    return Source(
        None if str(arguments.input) == "-" else arguments.input,
        arguments.input_format or by_suffix,
        arguments.field,
        arguments.id_field,
    )


def _print_vectors(records: Iterator[Record], arguments: argparse.Namespace) -> None:
    table = wants_table(arguments)
    failures = FailureSummary()
    with make_client(arguments) as client:
        if table:
            print(HEADER)
        for outcome in embed_records(client, records, make_options(arguments), fail=arguments.on_error == "fail"):
            failures.add(outcome)
            if outcome.embedding is None and arguments.on_error == "skip":
                continue
            record = outcome.record
            if table:
                print(table_row(outcome))
            else:
                fields = {"id": record.id} if arguments.id_field else {}
                print(outputs.json_line(fields | {"text": record.document}, outcome))
    failures.print()


def _write_to_file(source: Source | None, records: Iterator[Record], arguments: argparse.Namespace) -> None:
    output_format = _output_format(arguments)
    partial_output = PartialOutput(arguments.output, resume=arguments.resume, force=arguments.force)
    if partial_output.complete:
        print(f"paravec: {arguments.output}: is already complete", file=sys.stderr)
        return
    expected_count = source.expected_count if source else lambda: len(arguments.texts)
    options = make_options(arguments)
    with make_client(arguments) as client:
        write(client, records, options, partial_output, output_format, arguments.on_error, expected_count)


def _write_to_stdout(records: Iterator[Record], arguments: argparse.Namespace) -> None:
    """Write the records of a file to standard output, as JSONL."""
    if arguments.output_format not in (None, "jsonl"):
        raise CommandError(f"--output -: {arguments.output_format} cannot be written to a pipe; jsonl can")
    if arguments.resume or arguments.force:
        raise CommandError("--resume and --force are for a file, not for --output -")
    failures = FailureSummary()
    with make_client(arguments) as client:
        for outcome in embed_records(client, records, make_options(arguments), fail=arguments.on_error == "fail"):
            failures.add(outcome)
            if outcome.embedding or arguments.on_error == "null":
                print(outputs.json_line({"id": outcome.record.id}, outcome))
    failures.print()


def _output_format(arguments: argparse.Namespace) -> str:
    """The format to write, by flag or suffix; CommandError if other flags do not fit it."""
    suffix = format_suffix(arguments.output)
    by_suffix = next((name for name, output in outputs.FORMATS.items() if suffix in output.suffixes), None)
    name: str | None = arguments.output_format or by_suffix
    if name is None:
        raise CommandError(f"{arguments.output}: its suffix names no format; --output-format does")
    if compression_of(arguments.output) and not outputs.FORMATS[name].append_only:
        raise CommandError(f"{arguments.output}: {name} is not written compressed; jsonl is")
    if arguments.on_error == "skip" and not outputs.FORMATS[name].has_ids:
        raise CommandError(f"--on-error skip: .{name} has no ids that show which documents are skipped; use null")
    if name == "parquet":
        import_pyarrow()
    return name
