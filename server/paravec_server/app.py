"""The server process: listen, load the model, serve, drain."""

import gc
import logging
import signal
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from paravec_model import __version__, compiled
from paravec_model.artifact import Artifact
from paravec_model.encoder import Encoder
from paravec_model.errors import OptionError
from paravec_model.options import Method

from .logs import event
from .service import SERVICE, EmbeddingService
from .settings import Settings, SettingsError, names_of

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

# Threads beyond those for calls that are taken on: for calls that are refused, reflection and GetModel.
_SPARE_THREADS = 16

# Threads for health: as many watchers as there may be at once, and for checks.
_WATCHERS, _CHECKERS = 256, 4

# Objects between two collections of the youngest; Python's 700 took 3 % of the time of short calls.
_YOUNG = 20_000

# Seconds for what is under way on the wire when all work is done.
_LAST_WORDS = 0.2

_METHODS: dict[str, Method | None] = {"model": None, "sgd": "sgd", "map": "map"}

_log = logging.getLogger(__name__)

T = TypeVar("T")


class _Threads(ThreadPoolExecutor):
    """Threads started as they are needed, for gRPC to run calls on."""

    def submit(self, *work: Any, **named: Any) -> "Future[Any]":
        """Where no further thread can be started, the work waits for one there is: the error would end gRPC's own."""
        try:
            return super().submit(*work, **named)
        except RuntimeError:
            queued: Future[Any] = Future()
            queued.set_result(None)
            return queued


class ListenError(Exception):
    """The address cannot be listened on."""


class App:
    """One server, from listening to stopped. It listens once the model is open; it is ready once the kernels are."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._reason = ""
        # Not an Event: its lock may be held where a signal comes in; to put into this queue is safe there.
        self._wake: SimpleQueue[None] = SimpleQueue()
        # A watcher of health keeps its thread for as long as its channel lives, and a check must not wait for calls.
        self._health = health.HealthServicer(
            experimental_non_blocking=False, experimental_thread_pool=_Threads(_WATCHERS, "watch")
        )
        health.HealthServicer.Check.experimental_thread_pool = _Threads(_CHECKERS, "check")
        self._service = EmbeddingService(settings)
        self._starting = ThreadPoolExecutor(1, thread_name_prefix="start")
        self._server = grpc.server(
            _Threads(settings.max_concurrent_rpcs + _SPARE_THREADS, "call"),
            options=[
                ("grpc.max_receive_message_length", settings.max_message_bytes),
                ("grpc.max_send_message_length", -1),
                # A second server on the same port must fail, not share its connections.
                ("grpc.so_reuseport", 0),
            ],
        )
        self.port = 0
        """Where it listens, once it does; 0 for a Unix socket."""

    def stop(self, reason: str) -> None:
        """Begin to drain; may be called where a signal comes in."""
        self._reason = self._reason or reason
        self._wake.put(None)

    def run(self) -> None:
        """Serve until `stop`; ArtifactError or ListenError if it cannot begin."""
        encoder = self._unless_stopped(self._open)
        if encoder is None:
            return
        self._listen()
        try:
            if self._unless_stopped(partial(self._warm, encoder)):
                # What start-up left behind stays; collections need not look at it again, nor come every dozen calls.
                if compiled.precompiled() is None:
                    # numba leaves much garbage behind; without it, looking for some took longer than opening the model.
                    gc.collect()
                gc.freeze()
                gc.set_threshold(_YOUNG)
                self._service.serve(encoder)
                self._health.set(SERVICE, _SERVING)
                event(_log, logging.INFO, "serving", listen=self._settings.listen, port=self.port)
                while not self._reason:
                    self._wake.get()
        finally:
            self._drain()

    def _unless_stopped(self, work: Callable[[], T]) -> T | None:
        """What `work` returns, done on a thread; None as soon as the server is to stop."""
        working = self._starting.submit(work)
        working.add_done_callback(lambda _: self._wake.put(None))
        while not self._reason and not working.done():
            self._wake.get()
        return None if self._reason else working.result()

    def _listen(self) -> None:
        self._server.add_generic_rpc_handlers((self._service.handlers(),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if self._settings.reflection:
            names = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self._server)
        self._health.set("", _SERVING)
        self._health.set(SERVICE, _NOT_SERVING)
        listen = self._settings.listen
        try:
            self.port = self._server.add_insecure_port(listen)
        except RuntimeError:
            raise ListenError(
                f"{listen}: cannot be listened on; is the address right, and no other server on the port?"
            ) from None
        self._server.start()
        event(_log, logging.INFO, "listening", version=__version__, listen=listen, port=self.port)

    def _open(self) -> Encoder:
        began = time.perf_counter()
        artifact = Artifact.open(self._settings.model, verify=self._settings.verify == "full")
        try:
            encoder = Encoder(artifact, _METHODS[self._settings.method])
        except OptionError as error:
            raise SettingsError(f"{names_of('method')} {error.problem}") from error
        if (epochs := artifact.manifest.defaults.epochs) > self._settings.max_epochs:
            raise SettingsError(f"{names_of('max_epochs')} is below the {epochs} epochs that the model asks for")
        manifest, seconds = artifact.manifest, round(time.perf_counter() - began, 3)
        facts = {"name": manifest.name, "version": manifest.version, "digest": manifest.digest}
        event(_log, logging.INFO, "model opened", **facts, seconds=seconds)
        return encoder

    def _warm(self, encoder: Encoder) -> bool:
        began = time.perf_counter()
        cache = self._settings.kernel_cache
        if cache:
            compiled.use_cache(cache)
        try:
            encoder.warm()
        except Exception as error:
            if not cache:
                raise
            # A cache that a crash or a full disk left damaged must not keep a server from starting.
            event(_log, logging.WARNING, "kernel cache emptied", directory=cache, error=type(error).__name__)
            compiled.empty_cache(cache)
            encoder.warm()
        event(_log, logging.INFO, "kernels ready", seconds=round(time.perf_counter() - began, 3))
        return True

    def _drain(self) -> None:
        """Readiness goes first, then calls in progress are finished, then what is left is cut off.

        While those finish, new calls are refused by the service and not by gRPC, which would end them as CANCELLED.
        """
        event(_log, logging.INFO, "draining", reason=self._reason, drain_seconds=self._settings.drain_seconds)
        self._health.set(SERVICE, _NOT_SERVING)
        self._service.drain()
        drained = self._service.idle(self._settings.drain_seconds)
        if drained:
            # A call that was on its way hears that it is refused, and the last replies leave.
            time.sleep(_LAST_WORDS)
        self._server.stop(_LAST_WORDS).wait(10 * _LAST_WORDS)
        event(_log, logging.INFO, "stopped", drained=drained)


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    app = App(settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: app.stop(signal.Signals(number).name))
    app.run()
