"""Parses the flags of paravec-model and turns them into the package's types."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from .. import __version__
from ..errors import OptionError
from ..options import Algorithm, InferenceOptions, Method
from ..text.terms import with_terms
from ..text.tokenizer import KINDS, Tokenizer, tokenizer_from_dict, words_tokenizer
from ..training.parameters import TrainingParameters
from .corpus_flags import add_corpus, check_corpus
from .evaluation_flags import add_compare, add_evaluate, check_evaluate
from .index_flags import add_index, check_index
from .texts import COMMANDS, PARAMETER_HELP

if TYPE_CHECKING:
    from ..evaluation.map_lambda import Choice, Chooser

_TOKENIZER_OPTIONS = ("lowercase", "deaccent", "min_len", "max_len", "pattern")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse `argv`; the command's name is in `command`. Exits with status 2 if the flags are wrong."""
    parser = argparse.ArgumentParser(
        prog="paravec-model",
        description="Make, check, package and compare artifacts of Doc2Vec models.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"paravec-model {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    train, convert, index, inspect, verify, export, package, evaluate, compare = (
        _add_command(commands, name) for name in COMMANDS
    )
    add_corpus(train, required=True)
    train.add_argument("--output", type=Path, required=True, metavar="DIR", help="the artifact; must not exist yet")
    inference = _add_artifact(train, rates="training's", method="the one that finds halves of documents better")
    center_help = "subtract no center in method map (default: chosen with λ when training without --doctags)"
    inference.add_argument("--no-map-center", dest="map_center", action="store_false", help=center_help)
    lexical_help = "with --doctags: also find documents by their words (BM25), weighed with the vectors"
    train.add_argument("--lexical", action=argparse.BooleanOptionalAction, default=False, help=lexical_help)
    _add_training(train)
    convert.add_argument("gensim_file", type=Path, metavar="GENSIM_FILE", help="the file that Doc2Vec.save() wrote")
    convert.add_argument(
        "--allow-class", action="append", default=[], metavar="MODULE.CLASS",
        help="a class of your own, derived from Doc2Vec, that the file may hold; it is not imported (may be repeated)",
    )  # fmt: skip
    convert.add_argument("output", type=Path, metavar="OUTPUT", help="directory of the artifact; must not exist yet")
    _add_artifact(convert, rates="the model's", method="sgd")
    add_index(index)
    _add_inference(index, *["the model's"] * 4)
    for command in (inspect, verify, export, package, evaluate):
        command.add_argument("artifact", type=Path, metavar="ARTIFACT", help="directory of the artifact")
    inspect.add_argument("--json", action="store_true", help="print the manifest itself, as JSON")
    export.add_argument("output", type=Path, metavar="OUTPUT", help="the file; must not exist yet")
    export.add_argument("--format", choices=("word2vec", "npy", "parquet"), help="its format (default: by its suffix)")
    export.add_argument("--normalize", action="store_true", help="scale vectors to unit length")
    package.add_argument("output", type=Path, metavar="OUTPUT", help="directory of the package; must not exist yet")
    package.add_argument("--tag", help="tag of the package in its index (default: the model's version)")
    package.add_argument("--license", metavar="SPDX", help="license of the model, an SPDX expression: Apache-2.0")
    key_help = "also check that the private half of a public key in this PEM file signed the artifact (model.sig)"
    verify.add_argument("--key", type=Path, metavar="FILE", help=key_help)
    add_evaluate(evaluate)
    add_compare(compare)
    arguments = parser.parse_args(argv)
    corpus_command = {"train": train, "evaluate": evaluate, "compare": compare}.get(arguments.command)
    if corpus_command:
        check_corpus(corpus_command, arguments)
    if arguments.command == "evaluate":
        check_evaluate(evaluate, arguments)
    if arguments.command == "index":
        check_index(index, arguments)
    return arguments


def training_parameters(arguments: argparse.Namespace) -> TrainingParameters:
    """The parameters of training; OptionError if one is out of range."""
    return TrainingParameters(**{field.name: getattr(arguments, field.name) for field in fields(TrainingParameters)})


def tokenizer_from(arguments: argparse.Namespace) -> Tokenizer:
    """The tokenizer; OptionError for a flag that its kind does not take."""
    kind: str = arguments.tokenizer
    options = {name: getattr(arguments, name) for name in _TOKENIZER_OPTIONS if getattr(arguments, name) is not None}
    for name in sorted(options.keys() - {field.name for field in fields(KINDS[kind])}):
        raise OptionError(name, f"is not an option of the {kind} tokenizer")
    if kind == "regex" and "pattern" not in options:
        raise OptionError("pattern", "is missing; the regex tokenizer needs --pattern")
    words = tokenizer_from_dict({"kind": kind, **options})
    return with_terms(words_tokenizer(words), arguments.stem, arguments.stop_words)


def inference_options(arguments: argparse.Namespace, base: Mapping[str, Any]) -> InferenceOptions:
    """The artifact's default options of inference: those of the flags, else of `base`, else of InferenceOptions."""
    try:
        return InferenceOptions(**{**base, **inference_flags(arguments)})
    except OptionError as error:
        raise OptionError(f"infer_{error.field}", error.problem) from error


def inference_flags(arguments: argparse.Namespace) -> dict[str, Any]:
    """The values of the --infer-* flags that are set, by InferenceOptions' names."""
    values = {field.name: getattr(arguments, f"infer_{field.name}") for field in fields(InferenceOptions)}
    return {name: value for name, value in values.items() if value is not None}


def lambda_chooser(
    arguments: argparse.Namespace, algorithm: Algorithm, automatic: Callable[..., "Choice"]
) -> "Chooser | None":
    """How λ and the sub-sampling of method map are chosen; None for an artifact without method map.

    `automatic`: the chooser for --map-lambda auto; it has the parameter `samples`. OptionError if the flags ask for
    method map and the model has none.
    """
    map_lambda: str | float = arguments.map_lambda
    map_sample: str | float = arguments.map_sample
    if algorithm.mode != "dbow":
        if arguments.infer_method == "map":
            raise OptionError("infer_method", f"cannot be map, which is for DBOW; this model is {algorithm.mode}")
        if isinstance(map_lambda, float):
            raise OptionError("map_lambda", f"is for DBOW; this model is {algorithm.mode}")
        if isinstance(map_sample, float):
            raise OptionError("map_sample", f"is for DBOW; this model is {algorithm.mode}")
        return None
    if map_lambda == "none":
        if arguments.infer_method == "map":
            raise OptionError("infer_method", "cannot be map with --map-lambda none")
        if isinstance(map_sample, float):
            raise OptionError("map_sample", "needs method map, which --map-lambda none leaves out")
        return None
    from ..evaluation.map_lambda import TRAINED_SAMPLE, fixed

    told = map_sample if isinstance(map_sample, float) else None
    if isinstance(map_lambda, float):
        return partial(fixed, map_lambda, told)
    if told is not None:
        return partial(automatic, samples=(told,))
    # Trained vectors are found best with the sub-sampling that made them.
    return partial(automatic, samples=TRAINED_SAMPLE) if map_sample == "trained" or arguments.doctags else automatic


def _map_lambda(text: str) -> str | float:
    if text in ("auto", "none"):
        return text
    value = float(text)
    if not 1e-6 <= value <= 1e6:
        raise argparse.ArgumentTypeError(f"must be auto, none, or a number from 1e-06 to 1e+06, not {text}")
    return value


def _map_sample(text: str) -> str | float:
    if text in ("auto", "trained"):
        return text
    value = float(text)
    if not 1e-9 <= value < 1:
        raise argparse.ArgumentTypeError(f"must be auto, trained, or a number from 1e-09 to below 1, not {text}")
    return value


def _add_command(commands: Any, name: str) -> argparse.ArgumentParser:
    line, description, epilog = COMMANDS[name]
    style = argparse.RawDescriptionHelpFormatter
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=line, description=description, epilog=epilog, formatter_class=style, allow_abbrev=False
    )
    return command


def _add_artifact(command: argparse.ArgumentParser, rates: str, method: str) -> Any:
    """Flags of the artifact that a command writes; returns their group of inference.

    `rates`, `method`: text for the defaults of inference.
    """
    command.add_argument("--name", help="name of the model (default: the output's folder name)")
    command.add_argument("--model-version", default="1", metavar="V", help="version of the model (default %(default)s)")
    command.add_argument("--doctags", action="store_true", help="keep the training documents' tags and vectors")
    switch = argparse.BooleanOptionalAction
    group = command.add_argument_group("tokenizer", "cuts text into tokens, in training and in serving")
    group.add_argument("--tokenizer", choices=KINDS, default="simple", help="its kind (default %(default)s)")
    group.add_argument("--lowercase", action=switch, help="convert to lower case first (default: only simple does)")
    group.add_argument("--deaccent", action=switch, help="simple: remove accents (default: no)")
    group.add_argument("--min-len", type=int, metavar="N", help="simple: drop shorter tokens (default 2)")
    group.add_argument("--max-len", type=int, metavar="N", help="simple: drop longer tokens (default 15)")
    group.add_argument("--pattern", metavar="RE", help="regex: a regular expression that matches a token")
    group.add_argument(
        "--stem", metavar="LANGUAGE", help="reduce words to stems by Snowball, e.g. italian (needs PyStemmer)"
    )
    group.add_argument("--stop-words", type=Path, metavar="FILE", help="leave out the words in this file, in UTF-8")
    group = _add_inference(command, rates, method)
    text = "precision of method map's prior; auto: chosen for the model, none: no method map (default %(default)s)"
    group.add_argument("--map-lambda", type=_map_lambda, default="auto", metavar="N", help=text)
    text = (
        "threshold of sub-sampling in method map; trained: as in training; auto: chosen with λ when training without"
        " --doctags, else trained (default %(default)s)"
    )
    group.add_argument("--map-sample", type=_map_sample, default="auto", metavar="N", help=text)
    return group


def _add_inference(
    command: argparse.ArgumentParser, rates: str, method: str, seed: str = "1", normalize: str = "no"
) -> Any:
    """Flags of the artifact's default options of inference; returns their group. The others: text for the defaults."""
    group = command.add_argument_group("inference", "the artifact's defaults, for requests that leave an option unset")
    group.add_argument("--infer-method", choices=get_args(Method), help=f"the method (default: {method})")
    group.add_argument("--infer-epochs", type=int, metavar="N", help=f"passes over a document (default: {rates})")
    group.add_argument("--infer-alpha", type=float, metavar="N", help=f"first learning rate (default: {rates})")
    group.add_argument("--infer-min-alpha", type=float, metavar="N", help=f"last learning rate (default: {rates})")
    group.add_argument("--infer-seed", type=int, metavar="N", help=f"seed of the random draws (default: {seed})")
    switch = argparse.BooleanOptionalAction
    group.add_argument("--infer-normalize", action=switch, help=f"scale to unit length (default: {normalize})")
    return group


def _add_training(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("training", "gensim's parameters, under gensim's names")
    for field in fields(TrainingParameters):
        flag, text = f"--{field.name.replace('_', '-')}", PARAMETER_HELP[field.name]
        if isinstance(field.default, bool):
            group.add_argument(flag, action=argparse.BooleanOptionalAction, default=field.default, help=text)
        elif field.default is None:
            group.add_argument(flag, type=int, metavar="N", help=text)
        else:
            shown = f"{text} (default %(default)s)"
            group.add_argument(flag, type=type(field.default), default=field.default, metavar="N", help=shown)
