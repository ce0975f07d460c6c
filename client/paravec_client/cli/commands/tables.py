"""Tables for people."""

import argparse
import sys

from ..files.outcomes import RecordOutcome

HEADER = f"{'known/tokens':>12}  {'length':>7}  text and vector"
"""The line above the rows of `table_row`."""


def wants_table(arguments: argparse.Namespace) -> bool:
    """Whether to print a table instead of JSON: as --format says, else on a terminal."""
    return bool(arguments.format == "table" or (arguments.format is None and sys.stdout.isatty()))


def table_row(outcome: RecordOutcome) -> str:
    """The beginning of a document and of its vector, or why it has none."""
    document, embedding = outcome.record.document, outcome.embedding
    text = printable(" ".join(map(str, document)) if isinstance(document, list) else str(document), 40)
    if embedding is None:
        return f"{'-':>12}  {'-':>7}  {text:<40}  {outcome.problem}"
    counts = f"{embedding.known_token_count}/{embedding.token_count}"
    norm = float((embedding.vector**2).sum() ** 0.5)
    vector = " ".join(f"{x:+.3f}" for x in embedding.vector[:6]) + (" ..." if len(embedding.vector) > 6 else "")
    return f"{counts:>12}  {norm:7.3f}  {text:<40}  {vector}"


def printable(text: str, width: int) -> str:
    """The beginning of a text, without control characters that a terminal would execute."""
    short = text if len(text) <= width else text[: width - 1] + "…"
    return "".join(c if c.isprintable() else " " for c in short)
