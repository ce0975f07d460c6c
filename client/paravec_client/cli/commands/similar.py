"""paravec similar: finds the training documents nearest to texts."""

import argparse
import json
from dataclasses import asdict
from typing import Any

from ..files.batches import batches, located
from ..files.inputs import STANDARD_INPUT_LINES, text_records
from .flags import add_inference_flags, make_client, make_options
from .tables import printable, wants_table

# Lines of standard input that are sent in one call.
_QUERIES_PER_CALL = 64


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command."""
    command = commands.add_parser(
        "similar", parents=[common], help="find the training documents nearest to texts",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Find the training documents nearest to texts given as arguments, or to lines of standard input.",
        epilog='examples:\n  paravec similar --top-k 5 "how do I print a page?"\n'
               "  paravec similar --format json < texts.txt",
    )  # fmt: skip
    command.add_argument("texts", nargs="*", metavar="TEXT", help="a text; without any, each line of standard input")
    command.add_argument("--top-k", type=int, default=10, metavar="N", help="documents for each text [%(default)s]")
    command.add_argument(
        "--lexical-weight", type=float, metavar="W",
        help="how much words count beside vectors, 0 to 1 [a model with a lexical index chooses it for each text]",
    )  # fmt: skip
    add_inference_flags(command)
    command.set_defaults(run=_similar)


def _similar(arguments: argparse.Namespace) -> int:
    records = text_records(arguments.texts) if arguments.texts else STANDARD_INPUT_LINES.records()
    options, table = make_options(arguments), wants_table(arguments)
    with make_client(arguments) as client:
        for batch in batches(records, _QUERIES_PER_CALL):
            texts = [record.document for record in batch]
            with located(batch):
                found = client.find_similar(texts, arguments.top_k, options, lexical_weight=arguments.lexical_weight)
            for text, similar in zip(texts, found, strict=True):
                if not table:
                    print(json.dumps({"text": text} | asdict(similar)))
                    continue
                print(f"{similar.known_token_count}/{similar.token_count} tokens known  {printable(text, 60)}")
                for neighbour in similar.neighbours:
                    print(f"{neighbour.score:8.3f}  {printable(str(neighbour.tag), 100)}")
    return 0
