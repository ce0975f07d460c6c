"""paravec-model: make, convert, look at and check model artifacts.

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
from typing import Any

from .arguments import chooser_of, corpus_of, inference_of, parameters_of, parse, tokenizer_of
from .errors import ConversionError, ModelError
from .manifest import Manifest, check_name, read_manifest
from .tokenizer import tokenizer_to_dict
from .training import train


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is 0, or 1 after one line on stderr that says what is wrong."""
    arguments = parse(argv)
    logging.basicConfig(format="paravec-model: warning: %(message)s", level=logging.WARNING)
    try:
        status = _COMMANDS[arguments.command](arguments)
        sys.stdout.flush()
    except ModelError as error:
        return _complain(str(error))
    except MemoryError as error:
        problem = str(error) or "the model does not fit"
        return _complain(f"not enough memory: {problem}; a smaller vector_size or a larger min_count needs less")
    except KeyboardInterrupt:
        _complain("interrupted")
        return 130
    except BrokenPipeError:
        # The reader has gone; Python would complain once more when it flushes stdout at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def _train(arguments: Namespace) -> int:
    name = _check_target(arguments)
    corpus, tokenizer, parameters = corpus_of(arguments), tokenizer_of(arguments), parameters_of(arguments)
    defaults = inference_of(arguments, asdict(parameters.defaults()))
    from . import prior
    from .export import GensimModel, write_artifact

    sample: list[list[str]] = []
    by_halves = partial(prior.by_halves, sample, method=arguments.infer_method)
    choose = chooser_of(arguments, parameters.algorithm(), by_halves)
    trained = train(corpus, tokenizer, parameters)
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
    return _report(arguments.output, manifest)


def _convert(arguments: Namespace) -> int:
    name, tokenizer = _check_target(arguments), tokenizer_of(arguments)
    from . import prior
    from .export import GensimModel, write_artifact
    from .gensim_files import load

    source = GensimModel(load(arguments.gensim_file, arguments.allow_class))
    try:
        manifest = write_artifact(
            arguments.output,
            source,
            name=name,
            version=arguments.model_version,
            tokenizer=tokenizer,
            defaults=inference_of(arguments, source.defaults()),
            training={"gensim": source.model.gensim},
            doctags=arguments.doctags,
            choose=chooser_of(arguments, source.algorithm(), partial(prior.by_tags, source.tag_vectors())),
        )
    except ConversionError as error:
        raise ConversionError(f"{arguments.gensim_file}: {error}") from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # A pickle may lack anything, or hold it in any type.
        raise ConversionError(f"{arguments.gensim_file}: is not a whole Doc2Vec model: {error}") from error
    return _report(arguments.output, manifest)


def _inspect(arguments: Namespace) -> int:
    manifest = read_manifest(arguments.artifact)
    print(manifest.to_json() if arguments.json else _table(manifest), end="")
    return 0


def _verify(arguments: Namespace) -> int:
    from .artifact import verify

    problems = verify(arguments.artifact)
    for problem in problems:
        _complain(problem)
    if not problems:
        manifest = read_manifest(arguments.artifact)
        print(f"{manifest.name} {manifest.version} {manifest.digest}: sound")
    return 1 if problems else 0


_COMMANDS = {"train": _train, "convert": _convert, "inspect": _inspect, "verify": _verify}


def _check_target(arguments: Namespace) -> str:
    """The model's name. Whatever would keep the artifact from being written is found before the work, not after."""
    from .files import check_output, creation_time

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
    print(f"{output}: {manifest.name} {manifest.version} {manifest.digest}, {size}")
    return 0


def _table(manifest: Manifest) -> str:
    top = ("name", "version", "digest", "created", "tool", "vocabulary_size", "doctag_count")
    sections: dict[str, dict[str, Any]] = {
        "model": {field: getattr(manifest, field) for field in top},
        "algorithm": asdict(manifest.algorithm),
        "defaults": asdict(manifest.defaults),
        "tokenizer": tokenizer_to_dict(manifest.tokenizer),
        "training": manifest.training,
        "files": {name: f"{entry.size:>15,} bytes" for name, entry in sorted(manifest.files.items())},
    }
    width = max(len(name) for section in sections.values() for name in section)
    lines = []
    for title, section in sections.items():
        lines += [title, *(f"  {name:<{width}}  {_shown(value)}" for name, value in section.items())]
    return "\n".join(lines) + "\n"


def _shown(value: Any) -> str:
    return value if isinstance(value, str) and value.isprintable() else json.dumps(value)


if __name__ == "__main__":
    sys.exit(main())
