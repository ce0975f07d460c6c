"""Trains with gensim. No other module needs gensim, and this one imports it only when training starts."""

import contextlib
import logging
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from ..corpus.formats import Document
from ..errors import ModelError, StoppedError
from ..options import Stop
from ..text.scripts import warn_if_unspaced
from ..text.tokenizer import Tokenizer, check_tokenizer
from .checks import check_vocabulary, checked, warn_of_documents, warn_of_tokens
from .defaults import for_corpus
from .parameters import TrainingParameters
from .token_cache import TokenCache, temporary_file

if TYPE_CHECKING:
    from ..lexical import LexicalBuilder

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trained:
    """A trained model."""

    model: Any
    """A gensim.models.doc2vec.Doc2Vec."""
    facts: dict[str, Any]
    """What the manifest records under `training`."""
    sample: list[list[str]]
    """A random sample of at most 1000 tokenized documents, to choose λ with."""
    parameters: TrainingParameters
    """Those of the training, with what was chosen for the corpus."""
    stopped: bool
    """Whether `stop` ended training early."""
    lexical: "LexicalBuilder | None" = None
    """The tokens of each tag, in the order of the tags, if `train` was asked for them."""


def train(
    corpus: Iterable[Document],
    tokenizer: Tokenizer,
    parameters: TrainingParameters,
    progress: bool = True,
    stop: Stop = lambda: False,
    lexical: bool = False,
) -> Trained:
    """Train a Doc2Vec model with gensim.

    `corpus`: a `Corpus` or any iterable of `(tags, text)`, even a generator: it is read and tokenized once, into a
    temporary file that the epochs read. Memory grows only with the vocabulary, the tags and their vectors.
    `parameters`: those that are None are chosen for the corpus once it is read, and logged at level INFO. `progress`:
    show a bar on stderr if that is a terminal. `stop`: called before each document; once it returns True, training ends
    and keeps what is learned. `lexical`: also return the tokens of each tag, in memory. With one worker, the same
    corpus and parameters give the same model in every process.

    CorpusError if the corpus cannot be read or has too few words; StoppedError if nothing was learned before the stop;
    ModelError if gensim or the tokenizer's stemmer is not installed, or the temporary file cannot be written.
    """
    check_tokenizer(tokenizer)
    try:
        from gensim import __version__ as gensim_version
        from gensim.models.doc2vec import Doc2Vec
        from tqdm import tqdm
    except ImportError as error:
        raise ModelError(f"training needs {error.name}: pip install 'paravec[model]'") from error
    bar = partial(tqdm, unit=" documents", disable=None if progress else True)
    where, kind = str(getattr(corpus, "path", "the corpus")), getattr(corpus, "kind", "given by a program")
    with _quiet_gensim(), temporary_file() as file:
        cache = TokenCache(file, stop)
        with bar(desc="reading") as shown:
            cache.fill(checked(corpus, where), where, tokenizer, parameters, shown.update)
        parameters, choice = for_corpus(parameters, cache.documents, cache.words)
        if choice:
            _logger.info(choice)
        model = Doc2Vec(**{name: value for name, value in asdict(parameters).items() if name != "dm_mean"})
        # gensim 4's constructor accepts dm_mean and then overwrites it with 1.
        model.cbow_mean = int(parameters.dm_mean != 0)
        model.build_vocab(cache.scan(), keep_raw_vocab=True)
        warn_if_unspaced(cache.sampled_texts.items, tokenizer)
        distinct, model.raw_vocab = len(model.raw_vocab), None
        # With dm_concat the vocabulary also holds the padding token.
        check_vocabulary(where, distinct, len(model.wv) - parameters.dm_concat, model.min_count)
        warn_of_documents(model.corpus_count, cache.without_new_tag, cache.too_long)
        warn_of_tokens(cache.sampled_tokens.items, model.wv, model.min_count)
        with bar(desc="training", total=model.corpus_count * model.epochs) as shown:
            cache.advance = shown.update
            model.train(cache, total_examples=model.corpus_count, epochs=model.epochs)
        if cache.failure:
            raise cache.failure
        builder = cache.lexical(len(model.dv)) if lexical else None
    cache.restore_tags(model.dv)
    facts = {
        "source": f"corpus {kind}",
        "corpus_sha256": cache.digest.hexdigest(),
        "distinct_tokens": distinct,
        "workers": parameters.workers,
        "gensim": gensim_version,
    }
    epochs_done = cache.yielded / model.corpus_count
    if stopped := epochs_done < model.epochs:
        if not cache.yielded:
            raise StoppedError("training had not begun, so nothing is learned yet")
        _logger.warning(
            "stopped after %.1f of %d epochs; what is learned so far is kept, interrupt again to drop it",
            epochs_done, model.epochs
        )  # fmt: skip
        facts["stopped_after_epochs"] = round(epochs_done, 2)
    return Trained(model, facts, cache.sampled_tokens.items, parameters, stopped, builder)


@contextlib.contextmanager
def _quiet_gensim() -> Iterator[None]:
    """Keep gensim's log records, which describe its internals, from the process's log handlers."""
    logger = logging.getLogger("gensim")
    before, logger.propagate = logger.propagate, False
    try:
        yield
    finally:
        logger.propagate = before
