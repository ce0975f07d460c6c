"""paravec-model evaluate and compare: measure models, and print what was measured."""

import json
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError
from ..text.scripts import warn_if_unspaced
from .corpus_flags import corpus_from, has_corpus
from .tables import comparison_table, evaluation_table

if TYPE_CHECKING:
    from ..corpus.formats import Tags

# Exit status of `compare` if B may not replace A.
_NOT_REPLACEABLE_STATUS = 3


def evaluate_model(arguments: Namespace) -> int:
    """Measure one model; status 0."""
    from ..artifact import Artifact
    from ..encoder import Encoder
    from ..evaluation.baselines import baselines
    from ..evaluation.evaluate import Evaluator, Measurement, coverage, to_json
    from ..evaluation.tasks import read_judgements, read_pairs

    artifact = Artifact.open(arguments.artifact)
    artifact.check_finite()
    encoder = Encoder(artifact)
    evaluator = Evaluator(encoder, baselines=baselines() if arguments.baselines else ())
    measurements, texts = list[Measurement](), list[str]()
    # All files are read before the first measurement, so that errors in them come at once.
    pairs = read_pairs(arguments.pairs) if arguments.pairs else None
    judged = (
        read_judgements(arguments.queries, arguments.documents, arguments.judgements) if arguments.queries else None
    )
    if documents := _sampled_documents(arguments):
        texts += (text for _, text in documents)
        measurements += evaluator.documents(documents, arguments.seeds)
    if pairs:
        texts += [*pairs.left, *pairs.right]
        measurements += evaluator.pairs(pairs)
    if judged:
        texts += [*judged.queries, *judged.documents]
        measurements += evaluator.judgements(judged)
    warn_if_unspaced(texts, encoder.tokenize)
    covered = coverage(encoder, texts)
    print(evaluation_table(encoder.manifest, covered, measurements), end="")
    _write_json(arguments.json, to_json(encoder, covered, measurements))
    return 0


def compare_models(arguments: Namespace) -> int:
    """Compare two models; status 3 if B may not replace A."""
    from ..artifact import Artifact
    from ..evaluation.compare import Bounds, compare

    a, b = (Artifact.open(path) for path in (arguments.a, arguments.b))
    for artifact in (a, b):
        artifact.check_finite()
    bounds = Bounds(arguments.min_overlap, arguments.max_mrr_loss, arguments.max_unknown_rise, arguments.other_size)
    documents = _sampled_documents(arguments)
    for tokenizer in {artifact.manifest.tokenizer for artifact in (a, b)}:
        warn_if_unspaced((text for _, text in documents or ()), tokenizer)
    comparison = compare(a, b, documents, arguments.k, arguments.at_most, bounds)
    print(comparison_table(comparison), end="")
    _write_json(arguments.json, comparison.to_json())
    return _NOT_REPLACEABLE_STATUS if comparison.reasons else 0


def _sampled_documents(arguments: Namespace) -> "list[tuple[Tags, str]] | None":
    """A sample of the corpus that the flags name; None if they name none."""
    from ..evaluation.tasks import sample_documents

    return sample_documents(corpus_from(arguments), arguments.at_most) if has_corpus(arguments) else None


def _write_json(path: Path | None, content: dict[str, Any]) -> None:
    if path is None:
        return
    try:
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise ModelError(f"{path}: cannot be written: {error.strerror or error}") from error
