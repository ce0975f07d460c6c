"""The tokenized documents of a training, in a temporary file: epochs neither parse the corpus nor hold it in memory."""

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from ..corpus.formats import Document
from ..corpus.streaming import ContentDigest, Reservoir
from ..errors import CorpusError, ModelError, StoppedError
from ..options import Stop
from ..text.tokenizer import Tokenizer
from .checks import GENSIM_MAX_TOKENS
from .parameters import TrainingParameters

if TYPE_CHECKING:
    from ..lexical import LexicalBuilder

# Documents that are kept for warnings and for the choice of λ.
_SAMPLE_DOCUMENTS = 1000


class TaggedTokens(NamedTuple):
    """A document as gensim reads it; gensim names the fields."""

    words: list[str]
    """The document's tokens."""
    tags: list[int]
    """Rows of its tags."""


class TokenCache:
    """Reads and tokenizes a corpus once, then yields its documents any number of times. Memory grows with tags only."""

    def __init__(self, file: IO[str], stop: Stop) -> None:
        """`file`: where the tokens are written. `stop`: once it returns True, iteration ends."""
        self.digest = ContentDigest()
        self.sampled_tokens = Reservoir[list[str]](_SAMPLE_DOCUMENTS)
        """Some of the tokenized documents."""
        self.sampled_texts = Reservoir[str](_SAMPLE_DOCUMENTS)
        """The texts of the same documents."""
        self.too_long = 0
        """Documents of which gensim drops tokens."""
        self.documents = 0
        """Documents in the file."""
        self.words = 0
        """Their tokens."""
        self.without_new_tag = 0
        """Documents all of whose tags earlier documents have."""
        self.yielded = 0
        """Documents yielded over all epochs."""
        self.advance: Callable[[], object] = lambda: None
        """Called for each document of an epoch."""
        self.failure: Exception | None = None
        """The error that ended an epoch early."""
        self._file, self._stop = file, stop
        # gensim sees row numbers instead of tags: it allocates a row for every integer up to the largest tag.
        self._rows: dict[str | int, int] = {}

    def fill(
        self,
        corpus: Iterable[Document],
        where: str,
        tokenizer: Tokenizer,
        parameters: TrainingParameters,
        advance: Callable[[], object],
    ) -> None:
        """Tokenize the corpus into the file.

        `where`: name of the corpus in errors. `advance`: called for each document.
        """
        for tags, text in corpus:
            self._check_stop()
            tokens = tokenizer(text)
            if parameters.dm_concat and len(tags) != 1:
                raise CorpusError(f"{where}: document {tags!r} has {len(tags)} tags, but dm_concat needs one each")
            if parameters.dm_concat and "\0" in tokens:
                raise CorpusError(f"{where}: document {tags!r} has the token '\\0', which dm_concat pads with")
            self.digest.add(tags, text)
            self.documents += 1
            self.words += len(tokens)
            self.too_long += len(tokens) > GENSIM_MAX_TOKENS
            self.sampled_tokens.add(tokens)
            self.sampled_texts.add(text)
            known_tags = len(self._rows)
            rows = [self._rows.setdefault(tag, len(self._rows)) for tag in tags]
            self.without_new_tag += len(self._rows) == known_tags
            self._file.write(json.dumps([tokens, rows]) + "\n")
            advance()
        self._file.flush()

    def scan(self) -> Iterator[TaggedTokens]:
        """The documents once, for gensim's vocabulary."""
        for document in self._read():
            self._check_stop()
            yield document

    def __iter__(self) -> Iterator[TaggedTokens]:
        # gensim iterates in a thread of its own. If an exception ended that, its other threads would wait forever.
        try:
            for document in self._read():
                if self._stop():
                    return
                yield document
                self.yielded += 1
                self.advance()
        except Exception as error:
            self.failure = self.failure or error

    def lexical(self, tags: int) -> "LexicalBuilder":
        """The tokens of each of so many tags: those of all documents that have it."""
        from ..lexical import LexicalBuilder

        builder = LexicalBuilder(tags)
        for document in self._read():
            for row in document.tags:
                builder.add(row, document.words)
        return builder

    def _read(self) -> Iterator[TaggedTokens]:
        try:
            self._file.seek(0)
            for line in self._file:
                yield TaggedTokens(*json.loads(line))
        except Exception as error:
            raise ModelError(f"training lost its temporary file: {error}") from error

    def _check_stop(self) -> None:
        if self._stop():
            raise StoppedError("the corpus was still being read, so nothing is learned yet")

    def restore_tags(self, vectors: Any) -> None:
        """Give gensim's KeyedVectors of documents the corpus's tags instead of row numbers."""
        tags = list(self._rows)
        if tags != list(range(len(tags))):
            vectors.index_to_key, vectors.key_to_index = tags, self._rows


@contextlib.contextmanager
def temporary_file() -> Iterator[IO[str]]:
    """A file for a `TokenCache`, deleted when the block ends; ModelError that names TMPDIR if the disk is full."""
    try:
        with tempfile.TemporaryFile("w+", encoding="ascii") as file:
            yield file
    except OSError as error:
        where = tempfile.tempdir or "temporary file"
        raise ModelError(
            f"{where}: {error.strerror or error}; set TMPDIR to a folder with room for the tokens"
        ) from error
