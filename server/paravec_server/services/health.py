"""grpc.health.v1, by grpcio's own service."""

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from google.rpc import code_pb2
from grpc_health.v1 import health, health_pb2

from ..rpc.call import RpcMethod
from ..rpc.errors import RequestError, parse
from ..rpc.thread_pool import ElasticThreadPool

# Each watcher keeps a thread for as long as its channel lives; a few more threads refuse further watchers.
_WATCH_THREADS, _REFUSE_THREADS, _CHECK_THREADS = 256, 4, 32

# How many checks may wait for their request. An honest one comes with the metadata.
_MAX_WAITING_CHECKS = 24

DESCRIPTOR = health_pb2.DESCRIPTOR.services_by_name["Health"]
HEALTH = DESCRIPTOR.full_name

_STATUSES = {True: health_pb2.HealthCheckResponse.SERVING, False: health_pb2.HealthCheckResponse.NOT_SERVING}


class Health:
    """grpc.health.v1.Health: "" is the liveness of the process, a service's name its readiness."""

    def __init__(self, *services: str) -> None:
        # A non-blocking watcher would call into gRPC from gRPC's own thread, and deadlock.
        self._servicer = health.HealthServicer(experimental_non_blocking=False)
        self._services = services
        self._free_watchers = threading.Semaphore(_WATCH_THREADS)
        self._alive = True
        self._servicer.set("", _STATUSES[True])
        self.set_ready(False)

    def set_alive(self, alive: bool) -> None:
        """Set the status of ""."""
        # Each set sends a message to all watchers.
        if alive != self._alive:
            self._alive = alive
            self._servicer.set("", _STATUSES[alive])

    def is_alive(self) -> bool:
        """Whether "" is SERVING."""
        return self._alive

    def set_ready(self, ready: bool) -> None:
        """Set the status of every service."""
        for service in self._services:
            self._servicer.set(service, _STATUSES[ready])

    def methods(self) -> dict[str, RpcMethod]:
        """The methods by full name. They are public: probes have no credentials."""
        read = partial(parse, health_pb2.HealthCheckRequest)
        check = self._servicer.Check
        return {
            f"/{HEALTH}/Check": RpcMethod(
                lambda call, message: check(read(message), call.context).SerializeToString(),
                limited=False,
                public=True,
                executor=ElasticThreadPool(_CHECK_THREADS, "health-check"),
                max_waiting=_MAX_WAITING_CHECKS,
            ),
            f"/{HEALTH}/Watch": RpcMethod(
                lambda call, message: self._watch(read(message), call.context),
                server_streaming=True,
                limited=False,
                public=True,
                executor=ElasticThreadPool(_WATCH_THREADS + _REFUSE_THREADS, "health-watch"),
            ),
        }

    def _watch(self, request: Any, context: Any) -> Iterator[bytes]:
        """Send a service's status, now and whenever it changes."""
        if not self._free_watchers.acquire(blocking=False):
            # gRPC clients treat a server without Watch as ready, and one whose Watch does not answer as not ready.
            raise RequestError(code_pb2.UNIMPLEMENTED, "too many health watchers; use Check")
        try:
            for response in self._servicer.Watch(request, _Watched(context)):
                yield response.SerializeToString()
        finally:
            self._free_watchers.release()


class _Watched:
    """The context for grpcio's servicer. It calls back even if the call has already ended: else the servicer would wait
    for ever, and keep its thread."""

    def __init__(self, context: Any) -> None:
        self._context = context

    def add_callback(self, callback: Callable[[], None]) -> bool:
        """Call `callback` when the call ends, or now if it has ended."""
        if not self._context.add_callback(callback):
            callback()
        return True
