"""What every service does with the documents of a call once it has read them: wait for a turn, infer, count."""

from collections.abc import Iterable, Iterator, Sequence
from time import perf_counter
from typing import TypeVar

from paravec_model.encoder import Encoder, Encoding
from paravec_model.errors import StoppedError
from paravec_model.options import InferenceOptions

from .calls import Call
from .figures import Row
from .turns import Turns

# Documents that are read between two looks whether anybody still waits.
_LOOK = 16

T = TypeVar("T")


class Inference:
    """The encoder, which may come later than the services that use it, and the turns to use it."""

    encoder: Encoder

    def __init__(self, threads: int, row: Row) -> None:
        """`threads`: calls that compute at once."""
        self._turns = Turns(threads)
        self._row = row

    @property
    def stuck(self) -> float:
        """Seconds for which all turns are taken and none of them has got on."""
        return self._turns.stuck

    def __call__(self, call: Call, documents: Sequence[Sequence[str]], options: InferenceOptions) -> Encoding:
        """Infer on the caller's thread, when it is its turn; StoppedError if nobody waits any more."""

        def stop() -> bool:
            self._turns.moved()
            return call.stopped()

        with self._turns.turn(call.context.add_callback):
            began = perf_counter()
            encoding = self.encoder.encode(documents, options, stop)
            seconds = perf_counter() - began
        tokens, known = sum(map(len, documents)), sum(encoding.known_token_counts)
        call.documents += len(documents)
        call.tokens += tokens
        self._row.inferred(len(documents), tokens, tokens - known, seconds)
        return encoding


def while_wanted(call: Call, items: Iterable[T]) -> Iterator[T]:
    """The items, while somebody waits for the call; else StoppedError."""
    for i, item in enumerate(items):
        if i % _LOOK == _LOOK - 1 and call.stopped():
            raise StoppedError("stopped before all documents were read")
        yield item
