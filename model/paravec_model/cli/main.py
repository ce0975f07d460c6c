"""paravec-model: make, convert, look at, check, try and compare model artifacts.

What takes long to import (numpy, gensim) is imported by the command that needs it, so that `--help` is quick.
"""

import json
import logging
import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..artifact import Manifest, read_manifest
from ..artifact.manifest import check_name
from ..errors import ConversionError, ModelError, StoppedError
from ..text.scripts import warn_if_unspaced
from ..training.train import train
from .arguments import chooser_of, given_of, inference_of, parameters_of, parse, tokenizer_of
from .corpus_flags import corpus_of, names_corpus
from .interrupt import Interrupt
from .tables import comparison_table, evaluation_table, manifest_table

if TYPE_CHECKING:
    from ..corpus.formats import Tags

_logger = logging.getLogger(__name__)

# Status of what Ctrl-C ended, as shells have it, even where something was kept: scripts must not take it for whole.
_INTERRUPTED = 130

# Status of `compare` where B may not replace A.
_DIFFERENT = 3


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is 0, or 1 after one line on stderr that says what is wrong."""
    arguments = parse(argv)
    logging.basicConfig(format="paravec-model: warning: %(message)s", level=logging.WARNING)
    try:
        status = _COMMANDS[arguments.command](arguments)
        sys.stdout.flush()
    except StoppedError as error:
        _complain(f"interrupted: {error}")
        return _INTERRUPTED
    except ModelError as error:
        return _complain(str(error))
    except MemoryError as error:
        problem = str(error) or "the model does not fit"
        return _complain(f"not enough memory: {problem}; a smaller vector_size or a larger min_count needs less")
    except KeyboardInterrupt:
        _complain("interrupted")
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader has gone; Python would complain once more when it flushes stdout at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def _train(arguments: Namespace) -> int:
    name = _check_target(arguments)
    corpus, tokenizer, parameters = corpus_of(arguments), tokenizer_of(arguments), parameters_of(arguments)
    defaults = inference_of(arguments, asdict(parameters.defaults()))
    from ..convert.export import write_artifact
    from ..convert.gensim_model import GensimModel
    from ..evaluation import map_lambda
    from ..kernels.library import load

    # Without kernels no artifact can be written: not to be found out when training is done.
    load()
    sample: list[list[str]] = []
    by_halves = partial(map_lambda.by_halves, sample, method=arguments.infer_method)
    choose = chooser_of(arguments, parameters.algorithm(), by_halves)
    with Interrupt() as stop:
        trained = train(corpus, tokenizer, parameters, stop=stop)
    sample += trained.sample
    manifest = write_artifact(
        arguments.output,
        GensimModel(trained.model),
        name=name,
        version=arguments.model_version,
        tokenizer=tokenizer,
        defaults=defaults,
        training=trained.facts,
        doctags=arguments.doctags,
        choose=choose,
    )
    _report(arguments.output, manifest)
    return _INTERRUPTED if trained.stopped else 0


def _convert(arguments: Namespace) -> int:
    name, tokenizer = _check_target(arguments), tokenizer_of(arguments)
    from ..convert.export import write_artifact
    from ..convert.gensim_file.load import load
    from ..convert.gensim_model import GensimModel
    from ..convert.learning_rates import usable
    from ..evaluation import map_lambda

    source = GensimModel(load(arguments.gensim_file, arguments.allow_class))
    try:
        algorithm = source.algorithm()
        if not source.is_trained(algorithm):
            _logger.warning("the model was never trained: its output weights are all zero, so its vectors say nothing")
        choose = chooser_of(arguments, algorithm, partial(map_lambda.by_tags, source.tag_vectors()))
        rates = usable(source.defaults(), given_of(arguments), has_map=algorithm.mode == "dbow")
        manifest = write_artifact(
            arguments.output,
            source,
            name=name,
            version=arguments.model_version,
            tokenizer=tokenizer,
            defaults=inference_of(arguments, rates),
            training={"gensim": source.model.gensim},
            doctags=arguments.doctags,
            choose=choose,
        )
    except ConversionError as error:
        raise ConversionError(f"{arguments.gensim_file}: {error}") from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # A pickle may lack anything, or hold it in any type.
        raise ConversionError(f"{arguments.gensim_file}: is not a whole Doc2Vec model: {error}") from error
    return _report(arguments.output, manifest)


def _inspect(arguments: Namespace) -> int:
    manifest = read_manifest(arguments.artifact)
    print(manifest.to_json() if arguments.json else manifest_table(manifest), end="")
    return 0


def _verify(arguments: Namespace) -> int:
    from ..artifact import verify

    problems = verify(arguments.artifact)
    for problem in problems:
        _complain(problem)
    if not problems:
        manifest = read_manifest(arguments.artifact)
        print(f"{manifest.name} {manifest.version} {manifest.digest}: sound")
    return 1 if problems else 0


def _evaluate(arguments: Namespace) -> int:
    from ..artifact import Artifact
    from ..encoder import Encoder
    from ..evaluation.evaluate import Figure, Trial, coverage, to_json
    from ..evaluation.tasks import read_judgements, read_pairs

    artifact = Artifact.open(arguments.artifact)
    artifact.check_finite()
    encoder = Encoder(artifact)
    trial, figures, texts = Trial(encoder), list[Figure](), list[str]()
    # Whatever cannot be read is found before the work.
    pairs = read_pairs(arguments.pairs) if arguments.pairs else None
    judged = (
        read_judgements(arguments.queries, arguments.documents, arguments.judgements) if arguments.queries else None
    )
    if documents := _drawn(arguments):
        texts += (text for _, text in documents)
        figures += trial.documents(documents, arguments.seeds)
    if pairs:
        texts += [*pairs.left, *pairs.right]
        figures += trial.pairs(pairs)
    if judged:
        texts += [*judged.queries, *judged.documents]
        figures += trial.judgements(judged)
    warn_if_unspaced(texts, encoder.tokenize)
    covered = coverage(encoder, texts)
    print(evaluation_table(encoder.manifest, covered, figures), end="")
    _write_json(arguments.json, to_json(encoder, covered, figures))
    return 0


def _compare(arguments: Namespace) -> int:
    from ..artifact import Artifact
    from ..evaluation.compare import Bounds, compare

    a, b = (Artifact.open(path) for path in (arguments.a, arguments.b))
    for artifact in (a, b):
        artifact.check_finite()
    bounds = Bounds(arguments.min_overlap, arguments.max_mrr_loss, arguments.max_unknown_rise, arguments.other_size)
    documents = _drawn(arguments)
    for tokenizer in {artifact.manifest.tokenizer for artifact in (a, b)}:
        warn_if_unspaced((text for _, text in documents or ()), tokenizer)
    comparison = compare(a, b, documents, arguments.k, arguments.at_most, bounds)
    print(comparison_table(comparison), end="")
    _write_json(arguments.json, comparison.to_json())
    return _DIFFERENT if comparison.reasons else 0


_COMMANDS = {
    "train": _train,
    "convert": _convert,
    "inspect": _inspect,
    "verify": _verify,
    "evaluate": _evaluate,
    "compare": _compare,
}


def _drawn(arguments: Namespace) -> "list[tuple[Tags, str]] | None":
    """Documents of the corpus that the flags name; None if they name none."""
    from ..evaluation.tasks import draw

    return draw(corpus_of(arguments), arguments.at_most) if names_corpus(arguments) else None


def _write_json(path: Path | None, content: dict[str, Any]) -> None:
    if path is None:
        return
    try:
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise ModelError(f"{path}: cannot be written: {error.strerror or error}") from error


def _check_target(arguments: Namespace) -> str:
    """The model's name. Whatever would keep the artifact from being written is found before the work, not after."""
    from ..artifact.writer import check_output, creation_time

    check_output(arguments.output)
    creation_time()
    name: str = arguments.output.name if arguments.name is None else arguments.name
    check_name("name", name)
    check_name("model_version", arguments.model_version)
    return name


def _complain(message: str) -> int:
    print(f"paravec-model: {' '.join(message.splitlines())}", file=sys.stderr)
    return 1


def _report(output: Path, manifest: Manifest) -> int:
    size = f"{manifest.vocabulary_size} words × {manifest.algorithm.vector_size}"
    left_out = manifest.training.get("doctags_never_trained")
    note = f", {left_out} tags left out that no document trained" if left_out else ""
    print(f"{output}: {manifest.name} {manifest.version} {manifest.digest}, {size}{note}")
    return 0
