"""Serves unary calls straight from gRPC's completion queue.

grpcio's own server costs more than the inference of a short text: half of the time of an empty handler, and three
quarters of a refusal. This path has no public interface in grpcio; see `completion_queue` and `self_test`.

One thread polls the queue. It reads the request of each call, answers short calls in batches, and hands the others to
the compute slots, so that no thread waits for a request or for a slot.
"""

import threading
import time
from collections.abc import Callable, Hashable, Iterator
from functools import partial
from itertools import groupby
from math import inf
from operator import itemgetter
from typing import Any, NamedTuple

from paravec_model.errors import StoppedError

from ..call import Call, CallRunner, RpcMethod
from ..compute_slots import ComputeSlots
from ..errors import NotReadyError, RequestError, WaitedTooLongError
from ..slot import Slot
from ..thread_pool import log_failure
from .completion_queue import CallContext, CompletionQueue
from .fair_queue import FairQueue, RefusalQueue

# Events that are handled before the next batch is answered. More are handled for as long as the last batch took: calls
# that wait in gRPC's core are not shared fairly.
_EVENTS_PER_BATCH = 64

# Calls that are requested from gRPC's core ahead of time, for methods with and without short calls. More calls than
# these wait in the core.
_REQUESTED_SHORT, _REQUESTED = 128, 16


class ShortCall(NamedTuple):
    """A call that may be answered in a batch."""

    method: RpcMethod
    batch_key: Hashable
    call: Call
    request: bytes


class FastPath:
    """Takes the calls of some methods from a completion queue."""

    def __init__(self, server: Any, runner: CallRunner, slots: ComputeSlots, max_wait: float) -> None:
        """`slots`: run the calls that are not short. `max_wait`: seconds that a short call may wait."""
        self._queue, self._runner, self._slots, self._max_wait = CompletionQueue(server), runner, slots, max_wait
        self._methods: dict[str, RpcMethod] = {}
        # Calls that are requested and have not come.
        self._requested = 0
        self._busy_since: float | None = None
        self._waiting = FairQueue[ShortCall]()
        self._refused = RefusalQueue[tuple[Call, Exception]]()
        self._thread = threading.Thread(target=self._run, name="fast-path", daemon=True)

    def add(self, name: str, method: RpcMethod) -> None:
        """Serve this method, /package.Service/Method. Call it before the server starts."""
        self._queue.register(name)
        self._methods[name] = method

    def start(self) -> None:
        """Begin. Call it once the server has started."""
        for name, method in self._methods.items():
            for _ in range(_REQUESTED_SHORT if method.batcher else _REQUESTED):
                self._requested += self._queue.request_call(name, partial(self._begin, name))
        self._thread.start()

    @property
    def stuck_seconds(self) -> float:
        """How long the thread has been busy with the last event; infinite if it has died."""
        if self._thread.ident and self._queue.pending and not self._thread.is_alive():
            return inf
        since = self._busy_since
        return time.monotonic() - since if since else 0.0

    def _run(self) -> None:
        queue, waiting, refused = self._queue, self._waiting, self._refused
        events, batch_end, batch_seconds = 0, 0.0, 0.0
        # Ends when no operation is pending and no call waits to be refused: the server has shut down.
        while queue.pending or refused.size:
            event = queue.poll(0.0 if waiting.size else refused.seconds_until_due)
            self._busy_since = now = time.monotonic()
            try:
                if event:
                    events += 1
                    event.tag(event)
                if waiting.size:
                    # If only requested calls are pending, no request is on its way that could join the batch.
                    complete = not event or len(queue.pending) <= self._requested
                    if complete or (events >= _EVENTS_PER_BATCH and now - batch_end > batch_seconds):
                        self._answer_batch()
                        events, batch_end = 0, time.monotonic()
                        batch_seconds = batch_end - now
                if refused.size:
                    self._refuse_due()
            except Exception as error:
                log_failure(error)
            self._busy_since = None
            # Do not keep the call until the next event comes.
            del event
        queue.close()

    def _begin(self, name: str, event: Any) -> None:
        """A call has come."""
        self._requested -= 1
        if not event.success:
            return
        try:
            self._requested += self._queue.request_call(name, partial(self._begin, name))
            context = CallContext(self._queue, event)
            method, call, error = self._runner.begin(name, event.invocation_metadata)
        except Exception:
            event.call.cancel()
            raise
        call.context = context
        try:
            if isinstance(error, NotReadyError):
                # The caller should try another server soon.
                self._refuse(call, error)
            elif error:
                self._refused.add(call.peer, (call, error))
            else:
                method.await_request(call)
                context.receive(partial(self._on_request, method, call))
        except Exception as fault:
            method.waiting.pop(call, None)
            self._runner.abandon(call, fault)

    def _on_request(self, method: RpcMethod, call: Call, request: bytes | None) -> None:
        """The call's request has come; None if there is none."""
        method.waiting.pop(call, None)
        try:
            if method.batcher and request is not None:
                key = method.batcher.batch_key(call, request)
                if key is not None:
                    self._waiting.add(call.peer, ShortCall(method, key, call, request))
                    return
            self._submit(method, call, request)
        except Exception as fault:
            self._runner.abandon(call, fault)

    def _answer_batch(self) -> None:
        """Answer the next short calls. Responses that are sent together share packets, code and data in the caches:
        half of a short call's cost."""
        now = time.perf_counter()
        in_time = []
        for short in self._waiting.take():
            call = short.call
            try:
                if not call.context.time_remaining():
                    self._refuse(call, _too_late())
                elif now - call.began > self._max_wait:
                    self._refuse(call, WaitedTooLongError())
                else:
                    in_time.append(short)
            except Exception as fault:
                self._runner.abandon(call, fault)
        for (method, _), batch in groupby(in_time, key=itemgetter(0, 1)):
            shorts = list(batch)
            results = self._runner.run_batch(method.batcher, [short.call for short in shorts])
            if results is None:
                # One call may be at fault; the others must not fail with it.
                for short in shorts:
                    self._guard(short.call, self._submit, method, short.call, short.request)
            else:
                for short, result in zip(shorts, results, strict=True):
                    try:
                        short.call.context.send(result)
                    except Exception as fault:
                        self._runner.abandon(short.call, fault)

    def _refuse_due(self) -> None:
        """Refuse the next calls whose turn it is."""
        for call, error in self._refused.take():
            late = not call.context.time_remaining()
            self._guard(call, self._refuse, call, _too_late() if late else error)

    def _submit(self, method: RpcMethod, call: Call, request: bytes | None) -> None:
        """Run the call in a compute slot, unless it is beyond the limits: a refused request must not be kept."""
        try:
            self._runner.reserve(method, call, len(request or b""))
        except RequestError as error:
            # The frames of a traceback would keep the request.
            call.request = None
            self._refused.add(call.peer, (call, error.with_traceback(None)))
            return
        call.context.watch()
        requests = iter(() if request is None else (request,))
        self._slots.submit(
            call.peer,
            call.on_cancel,
            partial(self._guard, call, self._run_call, method, call, requests),
            partial(self._guard, call, self._refuse, call),
        )

    def _run_call(self, method: RpcMethod, call: Call, requests: Iterator[bytes], slot: Slot) -> None:
        call.slot = slot
        try:
            call.context.send(self._runner.run(method, call, requests))
        finally:
            # The slot refers to the call.
            call.slot = None

    def _refuse(self, call: Call, error: Exception) -> None:
        call.context.send(self._runner.refuse(call, error))

    def _guard(self, call: Call, step: Callable[..., None], *arguments: Any) -> None:
        """Take a step of a call; whatever it raises ends the call."""
        try:
            step(*arguments)
        except Exception as fault:
            self._runner.abandon(call, fault)


def _too_late() -> StoppedError:
    return StoppedError("the deadline passed while the call waited")
