"""The flags of evaluate and compare."""

import argparse
from pathlib import Path

from .corpus_flags import add_corpus, names_corpus


def add_evaluation(command: argparse.ArgumentParser) -> None:
    """Add those of `evaluate`."""
    add_corpus(command, required=False)
    _add_trial(command)
    command.add_argument("--seeds", type=_count, default=3, metavar="N", help="seeds that are compared (default 3)")
    group = command.add_argument_group("labels", "texts that people know to belong together")
    group.add_argument("--pairs", type=Path, metavar="FILE", help="text TAB text, or text TAB text TAB score, a line")
    group.add_argument("--queries", type=Path, metavar="FILE", help="JSON lines with id and text")
    group.add_argument(
        "--documents", type=Path, metavar="FILE", help="JSON lines with id and text, that queries look for"
    )
    group.add_argument(
        "--judgements", type=Path, metavar="FILE", help="TREC's qrels: query-id 0 document-id grade, a line"
    )


def check_evaluation(command: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Exit with status 2 if the flags of `evaluate` name nothing to try the model on."""
    judged = [getattr(arguments, name) is not None for name in ("queries", "documents", "judgements")]
    if any(judged) and not all(judged):
        command.error("--queries, --documents and --judgements belong together, name all three")
    if not any(judged) and arguments.pairs is None and not names_corpus(arguments):
        command.error("name what to try the model on: a corpus, --pairs, or --queries, --documents and --judgements")
    if arguments.seeds < 2:
        command.error("--seeds must be 2 or more")


def add_comparison(command: argparse.ArgumentParser) -> None:
    """Add those of `compare`."""
    command.add_argument("a", type=Path, metavar="A", help="the artifact that is in use")
    command.add_argument("b", type=Path, metavar="B", help="the artifact that may replace it")
    add_corpus(command, required=False)
    _add_trial(command)
    command.add_argument("-k", type=_count, default=10, metavar="N", help="neighbours of a document (default 10)")
    group = command.add_argument_group("bounds", "beyond which B may not replace A")
    text = "least share of a document's neighbours that stay (default %(default)s)"
    group.add_argument("--min-overlap", type=float, default=0.5, metavar="N", help=text)
    text = "most that halves of documents may find each other worse, in MRR (default %(default)s)"
    group.add_argument("--max-mrr-loss", type=float, default=0.02, metavar="N", help=text)
    text = "most that the share of unknown tokens may rise (default %(default)s)"
    group.add_argument("--max-unknown-rise", type=float, default=0.02, metavar="N", help=text)
    group.add_argument("--other-size", action="store_true", help="allow vectors of another length")


def _add_trial(command: argparse.ArgumentParser) -> None:
    text = "documents of the corpus that are tried, drawn from all over it (default 1000)"
    command.add_argument("--at-most", type=_count, default=1000, metavar="N", help=text)
    command.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well, as JSON")


def _count(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, not {text}")
    return value
