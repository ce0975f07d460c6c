"""Training with gensim; the only module that needs it, and it imports it only when training starts."""

import contextlib
import logging
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from ..corpus.formats import Document
from ..errors import ModelError, StoppedError
from ..options import Stop
from ..text.scripts import warn_if_unspaced
from ..text.tokenizer import Tokenizer
from .checks import check_vocabulary, checked, warn_of_documents, warn_of_tokens
from .parameters import TrainingParameters
from .token_cache import Spool, temporary_file

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trained:
    """What training gives."""

    model: Any
    """The gensim Doc2Vec."""
    facts: dict[str, Any]
    """What belongs in the manifest."""
    sample: list[list[str]]
    """Some of the tokenized documents, drawn evenly, to try the model on."""
    stopped: bool
    """Whether it was stopped before all epochs were done."""


def train(
    corpus: Iterable[Document],
    tokenizer: Tokenizer,
    parameters: TrainingParameters,
    progress: bool = True,
    stop: Stop = lambda: False,
) -> Trained:
    """Train a Doc2Vec with gensim.

    The corpus, a `Corpus` or anything that gives `(tags, text)`, is read and tokenized once, into a temporary file that
    the epochs read; so a generator will do, and memory grows with words, tags and their vectors only. `progress` shows
    a bar on stderr if that is a terminal. `stop` is asked before each document: once it says True, what is learned so
    far is the model; StoppedError if that is nothing. With one worker, the same corpus and parameters give the same
    model in every process.
    """
    try:
        from gensim import __version__ as gensim_version
        from gensim.models.doc2vec import Doc2Vec
        from tqdm import tqdm
    except ImportError as error:
        raise ModelError(f"training needs {error.name}: pip install 'paravec[model]'") from error
    bar = partial(tqdm, unit=" documents", disable=None if progress else True)
    where, kind = str(getattr(corpus, "path", "the corpus")), getattr(corpus, "kind", "given by a program")
    with _quiet_gensim(), temporary_file() as file:
        model = Doc2Vec(**{name: value for name, value in asdict(parameters).items() if name != "dm_mean"})
        # The constructor takes dm_mean, but gensim 4 then overwrites it with 1.
        model.cbow_mean = int(parameters.dm_mean != 0)
        spool = Spool(file, stop)
        with bar(desc="reading") as shown:
            documents = spool.read(checked(corpus, where), where, tokenizer, parameters, shown.update)
            model.build_vocab(documents, keep_raw_vocab=True)
        warn_if_unspaced(spool.texts.items, tokenizer)
        distinct, model.raw_vocab = len(model.raw_vocab), None
        check_vocabulary(where, distinct, len(model.wv) - parameters.dm_concat, parameters.min_count)
        warn_of_documents(model.corpus_count, spool.untagged, spool.long)
        warn_of_tokens(spool.sample.items, model.wv, parameters.min_count)
        with bar(desc="training", total=model.corpus_count * model.epochs) as shown:
            spool.advance = shown.update
            model.train(spool, total_examples=model.corpus_count, epochs=model.epochs)
        if spool.failure:
            raise spool.failure
    spool.name_rows(model.dv)
    facts = {
        "source": f"corpus {kind}",
        "corpus_sha256": spool.digest.hexdigest(),
        "distinct_tokens": distinct,
        "workers": parameters.workers,
        "gensim": gensim_version,
    }
    done = spool.given / model.corpus_count
    if stopped := done < model.epochs:
        if not spool.given:
            raise StoppedError("training had not begun, so nothing is learned yet")
        _logger.warning(
            "stopped after %.1f of %d epochs; what is learned so far is kept, interrupt again to drop it",
            done, model.epochs
        )  # fmt: skip
        facts["stopped_after_epochs"] = round(done, 2)
    return Trained(model, facts, spool.sample.items, stopped)


@contextlib.contextmanager
def _quiet_gensim() -> Iterator[None]:
    """Keep gensim's log, which tells of its inner workings, from whatever handlers the process has."""
    logger = logging.getLogger("gensim")
    before, logger.propagate = logger.propagate, False
    try:
        yield
    finally:
        logger.propagate = before
