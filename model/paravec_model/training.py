"""Training with gensim; the only module that needs it, and it imports it only when training starts."""

import contextlib
import json
import logging
import math
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import IO, Any

from .corpora import ContentDigest, Corpus
from .errors import CorpusError, ModelError, OptionError
from .options import Algorithm, InferenceOptions, Mode
from .tokenizer import Tokenizer

_logger = logging.getLogger(__name__)

# gensim's compiled loops keep this many words of a document and drop the rest without a word.
_LONGEST = 10_000

# Below this, what was learned is noise.
_SMALL_VOCABULARY = 100


@dataclass(frozen=True)
class TrainingParameters:
    """Parameters of gensim's Doc2Vec, by its names and with its defaults (but one worker, which is reproducible).

    Checked here, before hours of training. A parameter that gensim would ignore beside the others is refused.
    """

    vector_size: int = 100
    """Numbers in a vector."""
    dm: int = 1
    """1: PV-DM; 0: PV-DBOW."""
    dm_mean: int | None = None
    """For PV-DM, 1 (or None): the mean of the context's vectors; 0: their sum."""
    dm_concat: int = 0
    """For PV-DM, 1: concatenate the context's vectors; the model is much larger."""
    dm_tag_count: int = 1
    """For PV-DM with concatenation, tags of each document; nothing can be inferred from a model of more than one."""
    dbow_words: int = 0
    """For PV-DBOW, 1: learn word vectors as well (skip-gram)."""
    window: int = 5
    """Greatest distance between a word and its context, in words."""
    min_count: int = 5
    """Drop words that occur less often."""
    sample: float = 1e-3
    """Threshold of sub-sampling frequent words; 0: keep all."""
    negative: int = 5
    """Noise words for each word; 0: no negative sampling."""
    hs: int = 0
    """1: hierarchical softmax."""
    ns_exponent: float = 0.75
    """Shape of the noise distribution; 1: by frequency, 0: uniform."""
    epochs: int = 10
    """Passes over the corpus."""
    alpha: float = 0.025
    """Learning rate at the start."""
    min_alpha: float = 0.0001
    """Learning rate at the end."""
    shrink_windows: bool = True
    """Draw each position's window from 1 to `window`."""
    seed: int = 1
    """Seed of all random draws."""
    workers: int = 1
    """Threads; with more than one, no two models are the same."""

    def __post_init__(self) -> None:
        for field in ("dm", "dm_concat", "dbow_words", "hs"):
            if getattr(self, field) not in (0, 1):
                raise OptionError(field, f"must be 0 or 1, not {getattr(self, field)}")
        if self.dm_mean not in (None, 0, 1):
            raise OptionError("dm_mean", f"must be 0 or 1, not {self.dm_mean}")
        for field, most in (("min_count", 2**31 - 1), ("workers", 1024), ("seed", 2**32 - 1)):
            least = 1 if field == "workers" else 0
            if not least <= getattr(self, field) <= most:
                raise OptionError(field, f"must be {least} to {most}, not {getattr(self, field)}")
        if not (math.isfinite(self.sample) and self.sample >= 0):
            raise OptionError("sample", f"must be 0 or more, not {self.sample:g}")
        if not -10 <= self.ns_exponent <= 10:
            raise OptionError("ns_exponent", f"must be -10 to 10, not {self.ns_exponent:g}")
        if self.dm_concat and not self.dm:
            raise OptionError("dm_concat", "is for PV-DM only, set dm to 1")
        if self.dm_mean is not None and (self.dm_concat or not self.dm):
            raise OptionError("dm_mean", "is for PV-DM without dm_concat only, leave it unset")
        if self.dbow_words and self.dm:
            raise OptionError("dbow_words", "is for PV-DBOW only, set dm to 0")
        if self.dm_tag_count != 1:
            raise OptionError(
                "dm_tag_count", "must be 1: gensim infers nothing from a model that concatenates more tags"
            )
        self.algorithm()
        self.defaults()

    def algorithm(self) -> Algorithm:
        """What inference will need to know of these; OptionError if it cannot be."""
        mode: Mode = "dbow"
        if self.dm:
            mode = "dm_concat" if self.dm_concat else "dm_sum" if self.dm_mean == 0 else "dm_mean"
        return Algorithm(
            mode=mode,
            vector_size=self.vector_size,
            negative=self.negative,
            hs=bool(self.hs),
            window=self.window,
            shrink_windows=self.shrink_windows,
            sample=self.sample,
        )

    def defaults(self) -> InferenceOptions:
        """Inference as gensim does it when told nothing else: with training's epochs and learning rates."""
        return InferenceOptions(epochs=self.epochs, alpha=self.alpha, min_alpha=self.min_alpha)


def train(
    corpus: Corpus, tokenizer: Tokenizer, parameters: TrainingParameters, progress: bool = True
) -> tuple[Any, dict[str, Any]]:
    """A trained gensim Doc2Vec, and facts about the training that belong in the manifest.

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
    return model, {
        "source": f"corpus {corpus.kind}",
        "corpus_sha256": documents.digest.hexdigest(),
        "distinct_tokens": distinct,
        "workers": parameters.workers,
        "gensim": gensim_version,
    }


class _Documents:
    """The documents as gensim wants them, kept tokenized in a file so that an epoch costs no parsing."""

    def __init__(self, file: IO[str]) -> None:
        self.digest = ContentDigest()
        self.long = 0
        """Documents with more tokens than gensim reads."""
        self.advance: Callable[[], object] = lambda: None
        """Called for each document of an epoch."""
        self.failure: Exception | None = None
        """What ended an epoch early."""
        self._file = file
        # gensim makes a row for every integer up to the largest tag, so it gets rows and never sees the tags.
        self._rows: dict[str | int, int] = {}

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
