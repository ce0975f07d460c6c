"""What every service does with the documents of a call: read and count them, wait for a turn, infer."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import NamedTuple, TypeVar

from paravec_model.encoder import Encoder, Encoding
from paravec_model.errors import StoppedError
from paravec_model.neighbours import Neighbour, Neighbours
from paravec_model.options import InferenceOptions

from .call import Call
from .errors import InvalidArgumentError
from .figures import Row
from .turns import Turns

# Documents that are read between two looks whether anybody still waits.
_LOOK = 16

T = TypeVar("T")


class Tokens(NamedTuple):
    """A document's tokens, cut to the limit, and how many there were."""

    tokens: Sequence[str]
    before: int

    @property
    def truncated(self) -> bool:
        """Whether some were cut off."""
        return len(self.tokens) < self.before


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
        if call.brief:
            began = perf_counter()
            encoding = self.encoder.encode(documents, options)
        else:
            with self._turn(call) as stop:
                began = perf_counter()
                encoding = self.encoder.encode(documents, options, stop)
        seconds = perf_counter() - began
        tokens, known = sum(map(len, documents)), sum(encoding.known_token_counts)
        call.documents += len(documents)
        call.tokens += tokens
        self._row.inferred(len(documents), tokens, tokens - known, seconds)
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


def cut(tokens: Sequence[str], most: int, path: str, *, truncate: bool) -> Tokens:
    """At `most` so many tokens of the document at `path`; InvalidArgumentError if it has more, unless `truncate`."""
    count = len(tokens)
    if count <= most:
        return Tokens(tokens, count)
    if not truncate:
        raise InvalidArgumentError(path, f"has {count} tokens, at most {most} are taken (see the option truncate)")
    return Tokens(tokens[:most], count)


def check_count(count: int, most: int, path: str) -> None:
    """InvalidArgumentError unless a call may bring so many documents; `path` is what says how many."""
    if not 1 <= count <= most:
        raise InvalidArgumentError(path, f"must be 1 to {most}, not {count}")


def read_all(call: Call, items: Sequence[T], read: Callable[[T, str], Tokens], path: str) -> list[Tokens]:
    """What `read` makes of each of the items, given its path, `path[i]`; counted as in flight until the call ends,
    unless it is brief."""
    call.take(len(items), 0)
    documents = [read(item, f"{path}[{i}]") for i, item in enumerate(while_wanted(call, items))]
    call.take(0, sum(len(document.tokens) for document in documents))
    return documents


def while_wanted(call: Call, items: Iterable[T]) -> Iterator[T]:
    """The items, while somebody waits for the call; else StoppedError."""
    for i, item in enumerate(items):
        if i % _LOOK == _LOOK - 1 and call.stopped():
            raise StoppedError("stopped before all documents were read")
        yield item
