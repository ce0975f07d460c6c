"""What every service does with the documents of a call: read and count them, wait for a turn, infer."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter

from paravec_model.encoder import Encoder, Encoding
from paravec_model.neighbours import Neighbour, Neighbours
from paravec_model.options import InferenceOptions, Stop
from paravec_model.reader import Document, Words

from .call import Call
from .errors import InvalidArgumentError
from .figures import Row
from .settings import Settings
from .turns import Turns


class Inference:
    """The encoder, which may come later than the services that use it, and the turns to use it."""

    encoder: Encoder

    max_tokens: int
    """Of a document."""

    def __init__(self, settings: Settings, row: Row) -> None:
        self._turns = Turns(settings.inference_threads)
        self.max_tokens = settings.max_tokens
        self._row = row

    @property
    def stuck(self) -> float:
        """Seconds for which all turns are taken and none of them has got on."""
        return self._turns.stuck

    def read(self, call: Call, documents: Sequence[Document], path: Callable[[int], str], *, truncate: bool) -> Words:
        """Read documents; InvalidArgumentError names the path of one that is too long, unless it may be truncated."""
        most = self.max_tokens
        words = self.encoder.read(documents, most, call.stopped)
        if not truncate:
            for i, count in enumerate(words.counts):
                if count > most:
                    problem = f"has {count} tokens, at most {most} are taken (see the option truncate)"
                    raise InvalidArgumentError(path(i), problem)
        return words

    def read_all(
        self, call: Call, count: int, documents: Iterable[Document], path: Callable[[int], str], *, truncate: bool
    ) -> Words:
        """Read so many documents, all of a call's, which count as in flight until it ends."""
        call.take(count, 0)
        words = self.read(call, list(documents), path, truncate=truncate)
        call.take(0, words.taken)
        return words

    def __call__(self, call: Call, words: Words, options: InferenceOptions) -> Encoding:
        """Infer on the caller's thread, when it is its turn; StoppedError if nobody waits any more."""
        with self._turn(call) as stop:
            encoding = self._infer(words, options, stop)
        call.documents += len(words.counts)
        call.tokens += words.taken
        return encoding

    def at_once(self, documents: Sequence[Document], options: InferenceOptions) -> Encoding:
        """Read and infer documents of brief calls, none of which is too long, without waiting for a turn."""
        return self._infer(self.encoder.read(documents, self.max_tokens), options)

    def _infer(self, words: Words, options: InferenceOptions, stop: Stop = bool) -> Encoding:
        began = perf_counter()
        encoding = self.encoder.infer(words, options, stop)
        seconds, tokens = perf_counter() - began, words.taken
        self._row.inferred(len(words.counts), tokens, tokens - len(words.rows), seconds)
        return encoding

    def find(
        self, call: Call, neighbours: Neighbours, vectors: Sequence[Sequence[float]], top_k: int
    ) -> list[list[Neighbour]]:
        """The training documents nearest to each vector, looked for as vectors are inferred."""
        with self._turn(call) as stop:
            began = perf_counter()
            found = neighbours.find(vectors, top_k, stop)
            self._row.add("inference_seconds", perf_counter() - began)
        return found

    @contextmanager
    def _turn(self, call: Call) -> Iterator[Callable[[], bool]]:
        """Wait for a turn and hold it; what work is to ask whether to stop."""

        def stop() -> bool:
            self._turns.moved()
            return call.stopped()

        with self._turns.turn(call.at_end):
            yield stop


def check_count(count: int, most: int, path: str) -> None:
    """InvalidArgumentError unless a call may bring so many documents; `path` is what says how many."""
    if not 1 <= count <= most:
        raise InvalidArgumentError(path, f"must be 1 to {most}, not {count}")
