"""paravec similar: the training documents that are nearest to texts."""

import argparse
import json
from dataclasses import asdict
from itertools import islice
from typing import Any

from ..files.inputs import LINES, given
from .flags import add_inference, client_of, for_people, options_of
from .tables import shown

# Lines of standard input that are looked for in one call.
_TOGETHER = 64


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
    add_inference(command)
    command.set_defaults(run=_similar)


def _similar(arguments: argparse.Namespace) -> int:
    records = given(arguments.texts) if arguments.texts else LINES.records()
    options, table = options_of(arguments), for_people(arguments)
    with client_of(arguments) as client:
        while some := [record.document for record in islice(records, _TOGETHER)]:
            for text, similar in zip(some, client.find_similar(some, arguments.top_k, options), strict=True):
                if not table:
                    print(json.dumps({"text": text} | asdict(similar)))
                    continue
                print(f"{similar.known_token_count}/{similar.token_count} tokens known  {shown(text, 60)}")
                for near in similar.neighbours:
                    print(f"{near.cosine:8.3f}  {shown(str(near.tag), 100)}")
    return 0
