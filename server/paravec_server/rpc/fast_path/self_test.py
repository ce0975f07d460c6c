"""Whether the fast path works with the installed grpcio: the server calls itself over loopback before it starts.

The fast path uses private names of grpcio, which a later release may change.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from ...settings import Settings
from ...telemetry.counters import SharedCounters
from ...telemetry.logs import event
from ..admission import Admission
from ..call import Batcher, Call, CallResult, RpcMethod
from ..compute_slots import ComputeSlots
from ..errors import error_location
from .completion_queue import is_supported
from .fast_path import FastPath

_SHORT, _LONG, _REFUSED = "/paravec.SelfTest/Short", "/paravec.SelfTest/Long", "/paravec.SelfTest/Refused"
_MESSAGE = b"paravec"

# Deadline of each call.
_CALL_SECONDS = 5.0

_log = logging.getLogger(__name__)


class _Batcher:
    """Takes all calls for short, and answers each with its own request."""

    def batch_key(self, call: Call, request: bytes) -> str:
        call.request = request
        return ""

    def run_batch(self, calls: Sequence[Call]) -> list[bytes]:
        return [call.request for call in calls]


class _Echo:
    """Answers each call with its own request: a short one in a batch, a long one on a thread; one is refused."""

    def __init__(self, settings: Settings) -> None:
        self._admission = Admission(settings, SharedCounters().workers[0])
        self.methods = {
            _SHORT: RpcMethod(self.echo, batcher=_Batcher()),
            _LONG: RpcMethod(self.echo),
            _REFUSED: RpcMethod(self.echo),
        }
        self.fault: Exception | None = None

    def echo(self, _: Call, request: bytes) -> bytes:
        return request

    def begin(self, name: str, _: Any) -> tuple[RpcMethod, Call, Exception | None]:
        call = Call(name, name, (), self._admission)
        return self.methods[name], call, ValueError(name) if name == _REFUSED else None

    def reserve(self, method: RpcMethod, call: Call, size: int) -> None:
        """Nothing counts here."""

    def refuse(self, _: Call, error: Exception) -> CallResult:
        return CallResult(None, grpc.StatusCode.ABORTED, str(error))

    def run(self, _: RpcMethod, __: Call, requests: Iterator[bytes]) -> CallResult:
        return CallResult(next(requests))

    def run_batch(self, batcher: Batcher, calls: Sequence[Call]) -> list[CallResult]:
        return [CallResult(response) for response in batcher.run_batch(calls)]

    def abandon(self, call: Call, error: Exception) -> None:
        self.fault = error
        call.context.abandon()


def fast_path_works(settings: Settings) -> bool:
    """Try the fast path; a warning in the log says if it fails."""
    echo = _Echo(settings)
    try:
        _call_all(echo)
    except Exception as error:
        location = error_location(echo.fault or error)
        message = "calls go by grpcio's own server, which is slower"
        event(_log, logging.WARNING, message, grpcio=grpc.__version__, **location)
        return False
    return True


def _call_all(echo: _Echo) -> None:
    with ThreadPoolExecutor(1, thread_name_prefix="self-test") as executor:
        server = grpc.server(executor)
        if not is_supported(server):
            raise AttributeError("this grpcio lacks names that the fast path needs")
        fast_path = FastPath(server, echo, ComputeSlots(1, executor), _CALL_SECONDS)
        for name, method in echo.methods.items():
            fast_path.add(name, method)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        fast_path.start()
        try:
            with grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.enable_http_proxy", 0)]) as channel:
                for name in (_SHORT, _LONG):
                    _expect(_call(channel, name) == _MESSAGE)
                try:
                    _expect(not _call(channel, _REFUSED))
                except grpc.RpcError as error:
                    _expect(error.code() is grpc.StatusCode.ABORTED)
        finally:
            server.stop(None)


def _call(channel: grpc.Channel, name: str) -> bytes:
    call: Callable[..., bytes] = channel.unary_unary(name)
    return call(_MESSAGE, timeout=_CALL_SECONDS)


def _expect(met: bool) -> None:
    if not met:
        raise RuntimeError("the response is not the one that was sent")
