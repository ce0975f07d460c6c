"""The documents of a training as gensim wants them, tokenized in a file: an epoch costs no parsing and no memory."""

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any, NamedTuple

from ..corpus.formats import ContentDigest, Document
from ..corpus.reservoir import Sample
from ..errors import CorpusError, ModelError, StoppedError
from ..options import Stop
from ..text.tokenizer import Tokenizer
from .checks import LONGEST
from .parameters import TrainingParameters

# Documents that are kept to try the model on.
_SAMPLE = 1000


class Tagged(NamedTuple):
    """What gensim reads of a document."""

    words: list[str]
    tags: list[int]


class Spool:
    """Reads a corpus once, and gives its documents as often as wanted. What grows with the corpus is the tags alone."""

    def __init__(self, file: IO[str], stop: Stop) -> None:
        """`file`: where the tokens go. `stop`: once it says True, no more documents come."""
        self.digest = ContentDigest()
        self.sample = Sample[list[str]](_SAMPLE)
        """Some of the tokenized documents."""
        self.texts = Sample[str](_SAMPLE)
        """The same, before."""
        self.long = 0
        """Documents with more tokens than gensim reads."""
        self.untagged = 0
        """Documents all of whose tags belong to earlier ones too."""
        self.given = 0
        """Documents that were given out, over all epochs."""
        self.advance: Callable[[], object] = lambda: None
        """Called for each document of an epoch."""
        self.failure: Exception | None = None
        """What ended an epoch early."""
        self._file, self._stop = file, stop
        # gensim makes a row for every integer up to the largest tag, so it gets rows and never sees the tags.
        self._rows: dict[str | int, int] = {}

    def read(
        self,
        corpus: Iterable[Document],
        where: str,
        tokenizer: Tokenizer,
        parameters: TrainingParameters,
        advance: Callable[[], object],
    ) -> Iterator[Tagged]:
        """Read the corpus, called `where` in errors, into the file; gensim's vocabulary scan looks on."""
        for tags, text in corpus:
            if self._stop():
                raise StoppedError("the corpus was still being read, so nothing is learned yet")
            words = tokenizer(text)
            if parameters.dm_concat and len(tags) != 1:
                raise CorpusError(f"{where}: document {tags!r} has {len(tags)} tags, but dm_concat needs one each")
            if parameters.dm_concat and "\0" in words:
                raise CorpusError(f"{where}: document {tags!r} has the token '\\0', which dm_concat pads with")
            self.digest.add(tags, text)
            self.long += len(words) > LONGEST
            self.sample.add(words)
            self.texts.add(text)
            before = len(self._rows)
            rows = [self._rows.setdefault(tag, len(self._rows)) for tag in tags]
            self.untagged += len(self._rows) == before
            self._file.write(json.dumps([words, rows]) + "\n")
            advance()
            yield Tagged(words, rows)
        self._file.flush()

    def __iter__(self) -> Iterator[Tagged]:
        # gensim iterates in a thread of its own, and if that dies of an exception the others wait for ever.
        try:
            self._file.seek(0)
            for line in self._file:
                if self._stop():
                    return
                yield Tagged(*json.loads(line))
                self.given += 1
                self.advance()
        except Exception as error:
            self.failure = self.failure or ModelError(f"training lost its temporary file: {error}")

    def name_rows(self, vectors: Any) -> None:
        """Give the rows of gensim's document vectors their tags."""
        tags = list(self._rows)
        if tags != list(range(len(tags))):
            vectors.index_to_key, vectors.key_to_index = tags, self._rows


@contextlib.contextmanager
def temporary_file() -> Iterator[IO[str]]:
    """A file for a `Spool`, gone when the block ends; ModelError that names TMPDIR where there is no room."""
    try:
        with tempfile.TemporaryFile("w+", encoding="ascii") as file:
            yield file
    except OSError as error:
        where = tempfile.tempdir or "temporary file"
        raise ModelError(
            f"{where}: {error.strerror or error}; set TMPDIR to a folder with room for the tokens"
        ) from error
