"""The health service of the fake server."""

from collections.abc import Iterator
from threading import Condition
from typing import Any

import grpc

from .._protocol import health


class HealthHandler(grpc.GenericRpcHandler):
    """Check and Watch of grpc.health.v1."""

    def __init__(self) -> None:
        self._statuses: dict[str, str] = {}
        self._changed = Condition()

    def set(self, service: str, status: str) -> None:
        """Set the status of a service, e.g. SERVING."""
        with self._changed:
            self._statuses[service] = status
            self._changed.notify_all()

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        """The handler of a method; None for other methods."""
        codec: dict[str, Any] = {
            "request_deserializer": health.decode_request,
            "response_serializer": health.encode_response,
        }
        if details.method == "/grpc.health.v1.Health/Check":
            return grpc.unary_unary_rpc_method_handler(self._check, **codec)
        if details.method == "/grpc.health.v1.Health/Watch":
            return grpc.unary_stream_rpc_method_handler(self._watch, **codec)
        return None

    def _check(self, service: str, context: grpc.ServicerContext) -> str:
        if service not in self._statuses:
            context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return self._statuses[service]

    def _watch(self, service: str, context: grpc.ServicerContext) -> Iterator[str]:
        """The status of a service, again after each change, until the caller leaves."""
        context.add_callback(self._wake)
        sent = None
        while context.is_active():
            with self._changed:
                status = self._statuses.get(service, "SERVICE_UNKNOWN")
                if status == sent:
                    self._changed.wait()
                    continue
            sent = status
            yield status

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()
