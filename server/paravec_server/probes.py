"""What a server answers about itself besides GetModel: grpc.health.v1 and reflection, by grpcio's own services."""

from collections.abc import Iterator
from functools import partial

from google.protobuf.message import Message
from grpc_health.v1 import health, health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from .calls import Call, Method
from .errors import parse
from .pool import Threads

# Threads for watchers of health, of whom each keeps one for as long as its channel lives; for checks; for reflection.
_WATCHERS, _CHECKERS, _REFLECTORS = 256, 32, 8

HEALTH = health.SERVICE_NAME

_WORDS = {True: health_pb2.HealthCheckResponse.SERVING, False: health_pb2.HealthCheckResponse.NOT_SERVING}


class Health:
    """grpc.health.v1.Health: "" is the process, the name of a service its readiness."""

    def __init__(self, *services: str) -> None:
        # A watcher that does not block would call back into gRPC from its own thread, and lock it up.
        self._servicer = health.HealthServicer(experimental_non_blocking=False)
        self._services = services
        self.set_alive(True)
        self.set_ready(False)

    def set_alive(self, alive: bool) -> None:
        """What "" says."""
        self._servicer.set("", _WORDS[alive])

    def set_ready(self, ready: bool) -> None:
        """What each service's name says."""
        for service in self._services:
            self._servicer.set(service, _WORDS[ready])

    def methods(self) -> dict[str, Method]:
        """What the server answers for health, to everybody: probes have no credentials."""
        read = partial(parse, health_pb2.HealthCheckRequest)
        check, watch = self._servicer.Check, self._servicer.Watch
        return {
            f"/{HEALTH}/Check": Method(
                lambda call, data: check(read(data), call.context),
                counted=False,
                open=True,
                pool=Threads(_CHECKERS, "check"),
            ),
            f"/{HEALTH}/Watch": Method(
                lambda call, data: watch(read(data), call.context),
                responses=True,
                counted=False,
                open=True,
                pool=Threads(_WATCHERS, "watch"),
            ),
        }


def reflection_methods(*services: str) -> dict[str, Method]:
    """What the server answers for reflection of `services`."""
    servicer = reflection.ReflectionServicer(services)

    def run(call: Call, messages: Iterator[bytes]) -> Iterator[Message]:
        requests = (parse(reflection_pb2.ServerReflectionRequest, message) for message in messages)
        yield from servicer.ServerReflectionInfo(requests, call.context)

    pool = Threads(_REFLECTORS, "reflect")
    name = f"/{reflection.SERVICE_NAME}/ServerReflectionInfo"
    return {name: Method(run, requests=True, responses=True, counted=False, pool=pool)}
