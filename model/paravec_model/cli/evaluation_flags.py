"""The flags of evaluate and compare."""

import argparse
from pathlib import Path

from .corpus_flags import add_corpus, has_corpus


def add_evaluate(command: argparse.ArgumentParser) -> None:
    """Add the flags of `evaluate`."""
    add_corpus(command, required=False)
    _add_sample(command)
    command.add_argument("--seeds", type=_positive, default=3, metavar="N", help="seeds to compare (default 3)")
    text = "also measure BM25 and tf-idf, and wordllama if it is installed; needs paravec[evaluation]"
    command.add_argument("--baselines", action="store_true", help=text)
    group = command.add_argument_group("labels", "texts that people judged to belong together")
    group.add_argument("--pairs", type=Path, metavar="FILE", help="text TAB text, or text TAB text TAB score, a line")
    group.add_argument("--queries", type=Path, metavar="FILE", help="JSON lines with id and text")
    group.add_argument(
        "--documents", type=Path, metavar="FILE", help="JSON lines with id and text, for queries to find"
    )
    group.add_argument(
        "--judgements", type=Path, metavar="FILE", help="TREC's qrels, lines of: query-id 0 document-id grade"
    )


def check_evaluate(command: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Exit with status 2 if the flags of `evaluate` name no data, or incomplete judgements."""
    judged = [getattr(arguments, name) is not None for name in ("queries", "documents", "judgements")]
    if any(judged) and not all(judged):
        command.error("--queries, --documents and --judgements belong together, name all three")
    if not any(judged) and arguments.pairs is None and not has_corpus(arguments):
        command.error("name what to try the model on: a corpus, --pairs, or --queries, --documents and --judgements")
    if arguments.seeds < 2:
        command.error("--seeds must be 2 or more")


def add_compare(command: argparse.ArgumentParser) -> None:
    """Add the flags of `compare`."""
    command.add_argument("a", type=Path, metavar="A", help="the artifact in use")
    command.add_argument("b", type=Path, metavar="B", help="the artifact that may replace it")
    add_corpus(command, required=False)
    _add_sample(command)
    command.add_argument("-k", type=_positive, default=10, metavar="N", help="neighbours of a document (default 10)")
    group = command.add_argument_group("bounds", "beyond which B may not replace A")
    text = "minimum share of a document's neighbours that stay (default %(default)s)"
    group.add_argument("--min-overlap", type=float, default=0.5, metavar="N", help=text)
    text = "maximum loss of MRR when halves of documents look for each other (default %(default)s)"
    group.add_argument("--max-mrr-loss", type=float, default=0.02, metavar="N", help=text)
    text = "maximum rise of the share of unknown tokens (default %(default)s)"
    group.add_argument("--max-unknown-rise", type=float, default=0.02, metavar="N", help=text)
    group.add_argument("--other-size", action="store_true", help="allow vectors of another length")


def _add_sample(command: argparse.ArgumentParser) -> None:
    text = "size of the random sample of the corpus's documents (default 1000)"
    command.add_argument("--at-most", type=_positive, default=1000, metavar="N", help=text)
    command.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file, as JSON")


def _positive(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, not {text}")
    return value
