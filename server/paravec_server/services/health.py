"""grpc.health.v1, by grpcio's own service."""

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from google.rpc import code_pb2
from grpc_health.v1 import health, health_pb2

from ..rpc.call import Method
from ..rpc.errors import RequestError, parse
from ..rpc.thread_pool import Threads

# Threads for watchers of health, of whom each keeps one for as long as its channel lives; to refuse more of them; for
# checks.
_WATCHERS, _REFUSERS, _CHECKERS = 256, 4, 32

# Checks that may wait for their message: it comes with the headers, or who asks has something else in mind.
_WAITING = 24

DESCRIPTOR = health_pb2.DESCRIPTOR.services_by_name["Health"]
HEALTH = DESCRIPTOR.full_name

_WORDS = {True: health_pb2.HealthCheckResponse.SERVING, False: health_pb2.HealthCheckResponse.NOT_SERVING}


class Health:
    """grpc.health.v1.Health: "" is the process, the name of a service its readiness."""

    def __init__(self, *services: str) -> None:
        # A watcher that does not block would call back into gRPC from its own thread, and lock it up.
        self._servicer = health.HealthServicer(experimental_non_blocking=False)
        self._services = services
        self._room = threading.Semaphore(_WATCHERS)
        self._alive = True
        self._servicer.set("", _WORDS[True])
        self.set_ready(False)

    def set_alive(self, alive: bool) -> None:
        """What "" says."""
        # Watchers hear whatever is set.
        if alive != self._alive:
            self._alive = alive
            self._servicer.set("", _WORDS[alive])

    def is_alive(self) -> bool:
        """Whether "" is SERVING."""
        return self._alive

    def set_ready(self, ready: bool) -> None:
        """What each service's name says."""
        for service in self._services:
            self._servicer.set(service, _WORDS[ready])

    def methods(self) -> dict[str, Method]:
        """What the server answers for health, to everybody: probes have no credentials."""
        read = partial(parse, health_pb2.HealthCheckRequest)
        check = self._servicer.Check
        return {
            f"/{HEALTH}/Check": Method(
                lambda call, data: check(read(data), call.context).SerializeToString(),
                counted=False,
                open=True,
                pool=Threads(_CHECKERS, "check"),
                most_waiting=_WAITING,
            ),
            f"/{HEALTH}/Watch": Method(
                lambda call, data: self._watch(read(data), call.context),
                responses=True,
                counted=False,
                open=True,
                pool=Threads(_WATCHERS + _REFUSERS, "watch"),
            ),
        }

    def _watch(self, request: Any, context: Any) -> Iterator[bytes]:
        """Tell a watcher how a service is, from now on."""
        if not self._room.acquire(blocking=False):
            # gRPC's clients take a server that has no Watch as ready, and one whose Watch does not answer as not.
            raise RequestError(code_pb2.UNIMPLEMENTED, "too many watch health: ask by Check")
        try:
            for response in self._servicer.Watch(request, _Watched(context)):
                yield response.SerializeToString()
        finally:
            self._room.release()


class _Watched:
    """What grpcio's servicer needs of a watcher's call: to be told of its end, even if that was before it could ask. It
    would wait for more to tell, and keep the thread."""

    def __init__(self, context: Any) -> None:
        self._context = context

    def add_callback(self, callback: Callable[[], None]) -> bool:
        """Have it called when the call ends."""
        if not self._context.add_callback(callback):
            callback()
        return True
