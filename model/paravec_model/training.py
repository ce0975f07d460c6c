"""Training with gensim; the only module that needs it, and it imports it only when training starts."""

import contextlib
import json
import logging
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from random import Random
from typing import IO, Any

from .corpora import ContentDigest, Corpus
from .errors import CorpusError, ModelError
from .parameters import TrainingParameters
from .tokenizer import Tokenizer

_logger = logging.getLogger(__name__)

# gensim's compiled loops keep this many words of a document and drop the rest without a word.
_LONGEST = 10_000

# Documents that are kept to try the model on.
_SAMPLE = 1000

# Below this, what was learned is noise.
_SMALL_VOCABULARY = 100


@dataclass(frozen=True)
class Trained:
    """What training gives."""

    model: Any
    """The gensim Doc2Vec."""
    facts: dict[str, Any]
    """What belongs in the manifest."""
    sample: list[list[str]]
    """Some of the tokenized documents, drawn evenly, to try the model on."""


def train(corpus: Corpus, tokenizer: Tokenizer, parameters: TrainingParameters, progress: bool = True) -> Trained:
    """Train a Doc2Vec with gensim.

    The corpus is read and tokenized once, into a temporary file that the epochs read. `progress` shows a bar on stderr
    if that is a terminal. With one worker, the same corpus and parameters give the same model in every process.
    """
    try:
        from gensim import __version__ as gensim_version
        from gensim.models.doc2vec import Doc2Vec
        from tqdm import tqdm
    except ImportError as error:
        raise ModelError(f"training needs {error.name}: pip install 'paravec[model]'") from error
    bar = partial(tqdm, unit=" documents", disable=None if progress else True)
    with _quiet_gensim(), _temporary_file() as file:
        model = Doc2Vec(**{name: value for name, value in asdict(parameters).items() if name != "dm_mean"})
        # The constructor takes dm_mean, but gensim 4 then overwrites it with 1.
        model.cbow_mean = int(parameters.dm_mean != 0)
        documents = _Documents(file)
        with bar(desc="reading") as shown:
            model.build_vocab(documents.read(corpus, tokenizer, parameters, shown.update), keep_raw_vocab=True)
        distinct, model.raw_vocab = len(model.raw_vocab), None
        _check_vocabulary(corpus, distinct, len(model.wv) - parameters.dm_concat, parameters.min_count)
        if documents.long:
            _logger.warning(
                "%d documents have more than %d tokens, and gensim learns from the first %d only;"
                " split them, the pieces may share a tag", documents.long, _LONGEST, _LONGEST
            )  # fmt: skip
        with bar(desc="training", total=model.corpus_count * model.epochs) as shown:
            documents.advance = shown.update
            model.train(documents, total_examples=model.corpus_count, epochs=model.epochs)
        if documents.failure:
            raise documents.failure
    documents.name_rows(model.dv)
    facts = {
        "source": f"corpus {corpus.kind}",
        "corpus_sha256": documents.digest.hexdigest(),
        "distinct_tokens": distinct,
        "workers": parameters.workers,
        "gensim": gensim_version,
    }
    return Trained(model, facts, documents.sample)


class _Documents:
    """The documents as gensim wants them, kept tokenized in a file so that an epoch costs no parsing."""

    def __init__(self, file: IO[str]) -> None:
        self.digest = ContentDigest()
        self.sample: list[list[str]] = []
        """Documents drawn evenly, all if there are few."""
        self.long = 0
        """Documents with more tokens than gensim reads."""
        self.advance: Callable[[], object] = lambda: None
        """Called for each document of an epoch."""
        self.failure: Exception | None = None
        """What ended an epoch early."""
        self._file = file
        # gensim makes a row for every integer up to the largest tag, so it gets rows and never sees the tags.
        self._rows: dict[str | int, int] = {}
        self._random, self._count = Random(1), 0  # noqa: S311  # no secret

    def read(
        self, corpus: Corpus, tokenizer: Tokenizer, parameters: TrainingParameters, advance: Callable[[], object]
    ) -> Iterator[Any]:
        """Read the corpus into the file; gensim's vocabulary scan looks on."""
        from gensim.models.doc2vec import TaggedDocument

        for tags, text in corpus:
            words = tokenizer(text)
            if parameters.dm_concat and len(tags) != 1:
                raise CorpusError(
                    f"{corpus.path}: document {tags!r} has {len(tags)} tags, but dm_concat needs one each"
                )
            if parameters.dm_concat and "\0" in words:
                raise CorpusError(f"{corpus.path}: document {tags!r} has the token '\\0', which dm_concat pads with")
            self.digest.add(tags, text)
            self.long += len(words) > _LONGEST
            self._draw(words)
            rows = [self._rows.setdefault(tag, len(self._rows)) for tag in tags]
            self._file.write(json.dumps([words, rows]) + "\n")
            advance()
            yield TaggedDocument(words, rows)
        self._file.flush()

    def __iter__(self) -> Iterator[Any]:
        from gensim.models.doc2vec import TaggedDocument

        # gensim iterates in a thread of its own, and if that dies of an exception the others wait for ever.
        try:
            self._file.seek(0)
            for line in self._file:
                yield TaggedDocument(*json.loads(line))
                self.advance()
        except Exception as error:
            self.failure = self.failure or ModelError(f"training lost its temporary file: {error}")

    def _draw(self, words: list[str]) -> None:
        """Algorithm R (Vitter: Random sampling with a reservoir, 1985)."""
        self._count += 1
        if len(self.sample) < _SAMPLE:
            self.sample.append(words)
        elif (place := self._random.randrange(self._count)) < _SAMPLE:
            self.sample[place] = words

    def name_rows(self, vectors: Any) -> None:
        """Give the rows of gensim's document vectors their tags."""
        tags = list(self._rows)
        if tags != list(range(len(tags))):
            vectors.index_to_key, vectors.key_to_index = tags, self._rows


def _check_vocabulary(corpus: Corpus, distinct: int, known: int, min_count: int) -> None:
    if not distinct:
        raise CorpusError(f"{corpus.path}: the tokenizer finds no token in it; choose another tokenizer")
    # With a single word gensim has nothing to tell apart, and with hs it never returns.
    if known < 2:
        raise CorpusError(
            f"{corpus.path}: {known} of its {distinct} distinct tokens occur min_count={min_count} times or more,"
            " learning needs 2; lower min_count or take a larger corpus"
        )
    if known < _SMALL_VOCABULARY:
        _logger.warning(
            "only %d of %d distinct tokens occur min_count=%d times or more; so few say little about a document,"
            " lower min_count or take a larger corpus", known, distinct, min_count
        )  # fmt: skip


@contextlib.contextmanager
def _quiet_gensim() -> Iterator[None]:
    """Keep gensim's log, which tells of its inner workings, from whatever handlers the process has."""
    logger = logging.getLogger("gensim")
    before, logger.propagate = logger.propagate, False
    try:
        yield
    finally:
        logger.propagate = before


@contextlib.contextmanager
def _temporary_file() -> Iterator[IO[str]]:
    try:
        with tempfile.TemporaryFile("w+", encoding="ascii") as file:
            yield file
    except OSError as error:
        where = tempfile.tempdir or "temporary file"
        raise ModelError(
            f"{where}: {error.strerror or error}; set TMPDIR to a folder with room for the tokens"
        ) from error
