"""Whether the grpcio at hand serves calls directly: the server calls itself once over loopback before it starts.

What `direct` uses of grpcio is not public, and may change its shape in a release to come.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from ...settings import Settings
from ...telemetry.counters import Figures
from ...telemetry.logs import event
from ..admission import Admission
from ..call import Brief, Call, Method
from ..errors import place_of
from .completion_queue import Answer, fits
from .server import Direct, Server

_BRIEF, _LONG, _REFUSED = "/paravec.Trial/Brief", "/paravec.Trial/Long", "/paravec.Trial/Refused"
_DATA = b"paravec"

# Seconds that each call may take.
_PATIENCE = 5.0

_log = logging.getLogger(__name__)


class _Echo:
    """Answers each call with its own message: a brief one, one that goes by a thread, and one that is refused."""

    def __init__(self, settings: Settings) -> None:
        self._admission = Admission(settings, Figures().rows[0])
        self.methods = {_BRIEF: Method(self.run, brief=self), _LONG: Method(self.run), _REFUSED: Method(self.run)}
        self.fault: Exception | None = None

    def run(self, _: Call, data: bytes) -> bytes:
        return data

    def kind(self, call: Call, data: bytes) -> str:
        call.read = data
        return ""

    def run_together(self, calls: Sequence[Call]) -> list[bytes]:
        return [call.read for call in calls]

    def enter(self, name: str, _: Any) -> tuple[Method, Call, Exception | None]:
        call = Call(name, name, (), self._admission)
        return self.methods[name], call, ValueError(name) if name == _REFUSED else None

    def hold(self, method: Method, call: Call, size: int) -> None:
        """Nothing: it is brief."""

    def refuse(self, _: Call, error: Exception) -> Answer:
        return Answer(None, grpc.StatusCode.ABORTED, str(error))

    def answer(self, _: Method, __: Call, messages: Iterator[bytes]) -> Answer:
        return Answer(next(messages))

    def answer_together(self, brief: Brief, calls: Sequence[Call]) -> list[Answer]:
        return [Answer(data) for data in brief.run_together(calls)]

    def abandon(self, call: Call, error: Exception) -> None:
        self.fault = error
        call.context.give_up()


def serves_directly(settings: Settings) -> bool:
    """Try it; if it fails, one line in the log says so."""
    echo = _Echo(settings)
    try:
        _try(echo)
    except Exception as error:
        facts = place_of(echo.fault or error)
        event(
            _log, logging.WARNING, "calls go by grpcio's own server, which is slower", grpcio=grpc.__version__, **facts
        )
        return False
    return True


def _try(echo: _Echo) -> None:
    with ThreadPoolExecutor(1, thread_name_prefix="trial") as threads:
        grpc_server = grpc.server(threads)
        if not fits(grpc_server):
            raise AttributeError("grpcio has other names")
        direct = Direct(grpc_server, echo, threads, _PATIENCE)
        for name, method in echo.methods.items():
            direct.add(name, method)
        server = Server(grpc_server, direct)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            with grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.enable_http_proxy", 0)]) as channel:
                for name in (_BRIEF, _LONG):
                    _expect(_call(channel, name) == _DATA)
                try:
                    _expect(not _call(channel, _REFUSED))
                except grpc.RpcError as error:
                    _expect(error.code() is grpc.StatusCode.ABORTED)
        finally:
            server.stop(None)


def _call(channel: grpc.Channel, name: str) -> bytes:
    call: Callable[..., bytes] = channel.unary_unary(name)
    return call(_DATA, timeout=_PATIENCE)


def _expect(met: bool) -> None:
    if not met:
        raise RuntimeError("another answer than was sent")
