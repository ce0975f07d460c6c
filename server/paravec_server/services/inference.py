"""What every service does with the documents of a call: wait for a slot to compute in, read them, infer."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter

from paravec_model.encoder import Encoder, Encoding
from paravec_model.inference.similar import Neighbour, Neighbours
from paravec_model.options import InferenceOptions, Stop
from paravec_model.text.token_ids import ALL, Document, Words

from ..rpc.call import Call
from ..rpc.errors import InvalidArgumentError, TooManyTokensError
from ..settings import Settings
from ..telemetry.counters import Row
from .compute_slots import ComputeSlots

# Bytes of a token in a message, more or less.
_TOKEN = 5


class Inference:
    """The encoder, which may come later than the services that use it, and the slots to use it in."""

    encoder: Encoder

    max_tokens: int
    """Of a document."""

    def __init__(self, settings: Settings, row: Row) -> None:
        self._slots = ComputeSlots(settings.inference_threads, settings.max_wait_seconds)
        self.max_tokens = settings.max_tokens
        self._row = row

    @property
    def stuck(self) -> float:
        """Seconds for which all slots are taken and the work in none of them has moved on."""
        return self._slots.stuck

    def estimate(self, size: int) -> float:
        """About how many seconds a call computes whose message has so many bytes, if it does not say more."""
        return self.encoder.seconds(size // _TOKEN)

    @contextmanager
    def computing(self, call: Call) -> Iterator[Stop]:
        """Hold a slot for all that the call computes: to parse, read, infer and write. At most as many threads as there
        are slots then contend for the GIL.

        Yields what that work is to ask whether to stop, which also lets calls of other callers go first when they are
        due. StoppedError if nobody waits for the call any more, WaitedTooLongError if it finds no slot in time.
        """
        with self._slots.hold(call.caller, call.at_end) as slot:

            def stop() -> bool:
                slot.give_way()
                return call.stopped()

            yield stop

    def most_tokens(self, *, truncate: bool) -> int:
        """How many tokens a document may bring."""
        return ALL if truncate else self.max_tokens

    def read(self, documents: Sequence[Document], path: Callable[[int], str], stop: Stop, *, truncate: bool) -> Words:
        """Read documents; InvalidArgumentError names the path of one that is too long, unless it may be truncated."""
        most = self.max_tokens
        words = self.encoder.read(documents, most, stop)
        if not truncate:
            for i, count in enumerate(words.counts):
                if count > most:
                    raise TooManyTokensError(path(i), count, most)
        return words

    def __call__(self, call: Call, words: Words, options: InferenceOptions, stop: Stop) -> Encoding:
        """Infer on the caller's thread, which holds a slot."""
        call.set_work(self.encoder.seconds(words.taken, options))
        encoding = self._infer(words, options, stop)
        call.documents += len(words.counts)
        call.tokens += words.taken
        return encoding

    def at_once(self, documents: Sequence[Document], options: InferenceOptions) -> Encoding:
        """Read and infer documents of brief calls, none of which is too long, without waiting for a slot."""
        return self._infer(self.encoder.read(documents, self.max_tokens), options)

    def _infer(self, words: Words, options: InferenceOptions, stop: Stop = bool) -> Encoding:
        began = perf_counter()
        encoding = self.encoder.infer(words, options, stop)
        seconds, tokens = perf_counter() - began, words.taken
        self._row.inferred(len(words.counts), tokens, tokens - len(words.rows), seconds)
        return encoding

    def find(
        self, neighbours: Neighbours, vectors: Sequence[Sequence[float]], top_k: int, stop: Stop
    ) -> list[list[Neighbour]]:
        """The training documents nearest to each vector, on the caller's thread, which holds a slot."""
        began = perf_counter()
        found = neighbours.find(vectors, top_k, stop)
        self._row.add("inference_seconds", perf_counter() - began)
        return found


def check_count(count: int, most: int, path: str) -> None:
    """InvalidArgumentError unless a call may bring so many documents; `path` is what says how many."""
    if not 1 <= count <= most:
        raise InvalidArgumentError(path, f"must be 1 to {most}, not {count}")
