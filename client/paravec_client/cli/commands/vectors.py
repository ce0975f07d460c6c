"""paravec vectors: prints the vectors of training documents."""

import argparse
import json
import re
from typing import Any

from ..files.batches import batches, located
from ..files.inputs import STANDARD_INPUT_LINES, text_records
from .flags import make_client
from .tables import printable, wants_table

# Lines of standard input that are sent in one call.
_TAGS_PER_CALL = 64

# Numbers of a vector that a table shows.
_SHOWN_NUMBERS = 6


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command."""
    command = commands.add_parser(
        "vectors", parents=[common], help="print the vectors of training documents",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Print the vectors of the training documents with tags given as arguments, or as lines of standard"
                    " input.",
        epilog="examples:\n  paravec vectors 17 42\n  paravec vectors --strings --format json < tags.txt",
    )  # fmt: skip
    command.add_argument("tags", nargs="*", metavar="TAG", help="a tag; without any, each line of standard input")
    command.add_argument("--strings", action="store_true", help="tags of digits are strings, not numbers")
    command.set_defaults(run=_vectors)


def _vectors(arguments: argparse.Namespace) -> int:
    records = text_records(arguments.tags, "tag") if arguments.tags else STANDARD_INPUT_LINES.records()
    table = wants_table(arguments)
    with make_client(arguments) as client:
        for batch in batches(records, _TAGS_PER_CALL):
            tags = [_tag(record.document, arguments.strings) for record in batch]
            with located(batch):
                vectors = client.document_vectors(tags)
            for tag, vector in zip(tags, vectors, strict=True):
                if table:
                    numbers = " ".join(f"{number:+.3f}" for number in vector[:_SHOWN_NUMBERS])
                    print(f"{printable(str(tag), 60):<30}  {numbers}{' ...' if len(vector) > _SHOWN_NUMBERS else ''}")
                else:
                    print(json.dumps({"tag": tag, "vector": [float(str(number)) for number in vector]}))
    return 0


def _tag(text: str, strings: bool) -> str | int:
    # A server has no numbers of more than 64 bits, which are 19 digits.
    return int(text) if not strings and re.fullmatch("-?[0-9]{1,19}", text) else text
