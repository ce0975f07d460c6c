"""paravec-model: train, convert, index, inspect, verify, export, package, evaluate and compare model artifacts.

numpy and gensim take long to import, so the commands that need them import them; `--help` stays quick.
"""

import logging
import os
import signal
import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from ..artifact import Manifest, read_manifest
from ..artifact.manifest import check_name
from ..errors import ConversionError, ModelError, OptionError, StoppedError
from ..training.train import train
from .arguments import inference_flags, inference_options, lambda_chooser, parse, tokenizer_from, training_parameters
from .corpus_flags import corpus_from
from .index_command import index_documents
from .interrupt import Interrupt, Terminated, terminating
from .measure import compare_models, evaluate_model
from .tables import manifest_table

_logger = logging.getLogger(__name__)

# Exit status after a signal: this and its number, as shells report it. Also if Ctrl-C kept a model, so that scripts
# notice.
_SIGNALLED_STATUS = 128
_INTERRUPTED_STATUS = _SIGNALLED_STATUS + signal.SIGINT


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0, or 1 after one line on stderr that names the error.

    130 after Ctrl-C, 143 after SIGTERM; 3 if `compare` finds that B may not replace A. Wrong flags exit with status 2.
    """
    arguments = parse(argv)
    lines = logging.StreamHandler()
    lines.setFormatter(_Lines())
    logging.basicConfig(handlers=[lines], level=logging.WARNING)
    # What training chooses for the corpus is no warning. Other packages' records of that level stay out.
    logging.getLogger("paravec_model").setLevel(logging.INFO)
    try:
        with terminating():
            status = _COMMANDS[arguments.command](arguments)
            sys.stdout.flush()
    except StoppedError as error:
        _complain(f"interrupted: {error}")
        return _INTERRUPTED_STATUS
    except ModelError as error:
        return _complain(str(error))
    except MemoryError as error:
        problem = str(error) or "the model does not fit"
        return _complain(f"not enough memory: {problem}; a smaller vector_size or a larger min_count needs less")
    except KeyboardInterrupt:
        return _signalled("interrupted", signal.SIGINT)
    except Terminated as error:
        return _signalled("terminated", error.number)
    except BrokenPipeError:
        # The reader of the pipe has gone. Python flushes stdout at exit and would report the error again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def _train(arguments: Namespace) -> int:
    name = _check_output(arguments)
    corpus, tokenizer, parameters = corpus_from(arguments), tokenizer_from(arguments), training_parameters(arguments)
    inference_options(arguments, asdict(parameters.defaults()))
    if arguments.lexical and not arguments.doctags:
        raise OptionError("lexical", "needs --doctags: it finds the documents that --doctags keeps")
    from ..convert.export import write_artifact
    from ..convert.gensim_model import GensimModel
    from ..evaluation import map_lambda
    from ..kernels.library import load

    # An artifact cannot be written without kernels, so a missing library must fail before training.
    load()
    # Filled after training; as the options of inference above, flags that contradict each other must fail before.
    sample: list[list[str]] = []
    by_halves = partial(map_lambda.by_halves, sample, method=arguments.infer_method, center=arguments.map_center)
    choose = lambda_chooser(arguments, parameters.algorithm(), by_halves)
    with Interrupt() as stop:
        trained = train(corpus, tokenizer, parameters, stop=stop, lexical=arguments.lexical)
    sample += trained.sample
    manifest = write_artifact(
        arguments.output,
        GensimModel(trained.model),
        name=name,
        version=arguments.model_version,
        tokenizer=tokenizer,
        defaults=inference_options(arguments, asdict(trained.parameters.defaults())),
        training=trained.facts,
        doctags=arguments.doctags,
        choose=choose,
        lexical=trained.lexical,
    )
    _report(arguments.output, manifest)
    return _INTERRUPTED_STATUS if trained.stopped else 0


def _convert(arguments: Namespace) -> int:
    name, tokenizer = _check_output(arguments), tokenizer_from(arguments)
    from ..convert.export import write_artifact
    from ..convert.gensim_file.load import load
    from ..convert.gensim_model import GensimModel
    from ..convert.learning_rates import inference_rates
    from ..evaluation import map_lambda

    source = GensimModel(load(arguments.gensim_file, arguments.allow_class))
    try:
        algorithm = source.algorithm()
        if not source.is_trained(algorithm):
            _logger.warning("the model was never trained: its output weights are all zero, so its vectors are useless")
        choose = lambda_chooser(arguments, algorithm, partial(map_lambda.by_tags, source.trained_vectors))
        rates = inference_rates(source.defaults(), inference_flags(arguments), has_map=algorithm.mode == "dbow")
        manifest = write_artifact(
            arguments.output,
            source,
            name=name,
            version=arguments.model_version,
            tokenizer=tokenizer,
            defaults=inference_options(arguments, rates),
            training={"gensim": source.model.gensim},
            doctags=arguments.doctags,
            choose=choose,
        )
    except ConversionError as error:
        raise ConversionError(f"{arguments.gensim_file}: {error}") from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # A pickle may lack any attribute, or hold any type in it.
        raise ConversionError(f"{arguments.gensim_file}: is not a whole Doc2Vec model: {error}") from error
    return _report(arguments.output, manifest)


def _index(arguments: Namespace) -> int:
    return index_documents(arguments, _check_output(arguments))


def _inspect(arguments: Namespace) -> int:
    manifest = read_manifest(arguments.artifact)
    print(manifest.to_json() if arguments.json else manifest_table(manifest), end="")
    return 0


def _verify(arguments: Namespace) -> int:
    from ..artifact import verify

    verifier = None
    if arguments.key is not None:
        try:
            from ..signature import Verifier
        except ModuleNotFoundError:
            raise OptionError("key", "needs more packages: pip install 'paravec[signature]'") from None
        verifier = Verifier.read(arguments.key)
    problems = verify(arguments.artifact, signed_by=verifier)
    for problem in problems:
        _complain(problem)
    if not problems:
        manifest = read_manifest(arguments.artifact)
        signed = f", signed by the key in {arguments.key}" if verifier else ""
        print(f"{manifest.name} {manifest.version} {manifest.digest}: sound{signed}")
    return 1 if problems else 0


def _export(arguments: Namespace) -> int:
    from ..artifact import Artifact
    from ..document_files import format_of, write_documents

    file_format = arguments.format or format_of(arguments.output)
    artifact = Artifact.open(arguments.artifact)
    count = write_documents(artifact, arguments.output, file_format, normalize=arguments.normalize)
    print(f"{arguments.output}: {count:,} vectors of {artifact.manifest.algorithm.vector_size} dimensions")
    return 0


def _package(arguments: Namespace) -> int:
    from ..packaging import package

    written = package(arguments.artifact, arguments.output, tag=arguments.tag, license_=arguments.license)
    manifest = written.manifest
    print(
        f"{arguments.output}:{written.tag}: {manifest.name} {manifest.version} {manifest.digest}, as {written.digest}"
    )
    return 0


_COMMANDS = {
    "train": _train,
    "convert": _convert,
    "index": _index,
    "inspect": _inspect,
    "verify": _verify,
    "export": _export,
    "package": _package,
    "evaluate": evaluate_model,
    "compare": compare_models,
}


def _check_output(arguments: Namespace) -> str:
    """The model's name. Raises ModelError, before the work, if the artifact could not be written afterwards."""
    from ..artifact.writer import check_output, creation_time

    check_output(arguments.output)
    creation_time()
    name: str = arguments.output.name if arguments.name is None else arguments.name
    check_name("name", name)
    check_name("model_version", arguments.model_version)
    return name


def _signalled(how: str, number: int) -> int:
    # gensim's threads still run, and warn of the corpus that ends under them.
    logging.getLogger("gensim").setLevel(logging.CRITICAL)
    _complain(how)
    return _SIGNALLED_STATUS + number


class _Lines(logging.Formatter):
    """A record as a line like this command's other messages."""

    def format(self, record: logging.LogRecord) -> str:
        kind = "warning: " if record.levelno >= logging.WARNING else ""
        return f"paravec-model: {kind}{super().format(record)}"


def _complain(message: str) -> int:
    sys.stderr.write(f"paravec-model: {' '.join(message.splitlines())}\n")
    return 1


def _report(output: Path, manifest: Manifest) -> int:
    size = f"{manifest.vocabulary_size} words × {manifest.algorithm.vector_size}"
    left_out = manifest.training.get("doctags_never_trained")
    note = f", {left_out} tags left out that no document trained" if left_out else ""
    print(f"{output}: {manifest.name} {manifest.version} {manifest.digest}, {size}{note}")
    return 0
