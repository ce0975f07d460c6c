"""The server process: listen, load the model, serve, drain."""

import gc
import logging
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, TypeVar

from paravec_model import __version__
from paravec_model.artifact import Artifact
from paravec_model.encoder import Encoder
from paravec_model.errors import OptionError
from paravec_model.options import Method

from .process.listen import CANNOT_LISTEN, UnixSocket
from .process.malloc import Trimmer
from .process.signals import on_stop
from .process.worker import Place
from .rpc import channel_args
from .rpc.admission import Admission
from .rpc.dispatcher import Calls
from .rpc.fast_path.self_test import serves_directly
from .rpc.thread_pool import Threads
from .security.bearer_tokens import Tokens
from .security.tls import server_credentials
from .services import embedding, health, open_inference
from .services.embedding import EmbeddingService
from .services.health import Health
from .services.inference import Inference
from .services.open_inference import OpenInferenceService
from .services.reflection import reflection_methods
from .settings import NO_PORT, ListenError, Settings, SettingsError, names_of
from .telemetry.counters import Figures
from .telemetry.liveness import why_not_live, why_not_ready
from .telemetry.logs import event
from .telemetry.metrics import Facts, labels_of, limits_of, metrics_page
from .telemetry.operations import serve_operations

if TYPE_CHECKING:
    from .telemetry.tracing import Tracing

# Objects between two collections of the youngest; Python's 700 took 3 % of the time of short calls, and calls leave no
# circles behind.
_YOUNG = 20_000

# Seconds that a thread may run Python code while others wait to. With Python's 5 ms, the thread that answers short
# texts waits for each event behind threads that parse and write batches.
_SWITCH = 0.001

# Seconds for what is under way on the wire when all work is done.
_LAST_WORDS = 0.2

# Seconds between two signs of life.
_BEAT = 1.0

_METHODS: dict[str, Method | None] = {"model": None, "sgd": "sgd", "map": "map"}

_log = logging.getLogger(__name__)

T = TypeVar("T")


class App:
    """One server, from start to stopped. Alone, it listens once the model is open, and is ready once that is warm; one
    of several workers listens when it is ready, for a caller might have got another that is."""

    def __init__(self, settings: Settings, place: Place | None = None) -> None:
        self._settings, self._place = settings, place
        self._reason = ""
        # Not an Event: its lock may be held where a signal comes in; to put into this queue is safe there.
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._health = Health(embedding.SERVICE, open_inference.SERVICE)
        self._figures = place.figures if place else Figures()
        self._row = row = place.row if place else self._figures.rows[0]
        row.reset(os.getpid())
        row["heartbeat"] = time.monotonic()
        self._facts = Facts({}, limits_of(settings))
        if settings.operations_listen and not place:
            live, ready = (partial(check, self._figures, settings) for check in (why_not_live, why_not_ready))
            serve_operations(settings.operations_listen, live, ready, metrics_page(self._figures, self._facts))
        self._admission = Admission(settings, row)
        self._inference = Inference(settings, row)
        self._services = (
            EmbeddingService(settings, self._inference, self._admission),
            OpenInferenceService(settings, self._inference, self._admission, self._health.is_alive),
        )
        methods = self._health.methods()
        for one in self._services:
            methods |= one.methods()
        if settings.reflection:
            methods |= reflection_methods(embedding.DESCRIPTOR, open_inference.DESCRIPTOR, health.DESCRIPTOR)
        tokens = Tokens(settings.tokens_file) if settings.tokens_file else None
        self._credentials = server_credentials(settings)
        self._tracing = _begin_tracing() if settings.tracing else None
        self._trimmer = Trimmer()
        self._starting = ThreadPoolExecutor(1, thread_name_prefix="start")
        patience = {"peer_seconds": settings.peer_seconds, "max_wait": settings.max_wait_seconds}
        self._server = Calls(methods, self._admission, row, tokens, self._tracing, **patience).server(
            # A caller's first call may go beyond the bound, see `admission`.
            Threads(2 * settings.max_concurrent_rpcs, "call"),
            options=[
                *channel_args.options(settings),
                # Workers share their parent's port; a second server on the same port must fail.
                ("grpc.so_reuseport", int(place is not None)),
            ],
            direct=serves_directly(settings),
        )
        self._socket = UnixSocket(settings.listen)
        self.port: int | None = None
        """Where it listens, once it does; None for an address without a port."""

    def stop(self, reason: str) -> None:
        """Begin to drain; may be called where a signal comes in."""
        self._reason = self._reason or reason
        self._wake.put(None)

    def run(self) -> None:
        """Serve until `stop`, after which the process is to end; ArtifactError or ListenError if it cannot begin."""
        encoder = self._unless_stopped(self._open)
        if encoder is None:
            return
        if self._tracing:
            self._tracing.describe(encoder.manifest)
        self._facts.model = labels_of(encoder.manifest, self._settings)
        if not self._place:
            self._bind()
            self._start()
        try:
            self._unless_stopped(encoder.warm)
            if not self._reason:
                # What start-up left behind stays; collections need not look at it again, nor come every dozen calls.
                gc.freeze()
                gc.set_threshold(_YOUNG)
                sys.setswitchinterval(_SWITCH)
                self._inference.encoder = encoder
                for one in self._services:
                    one.serve(encoder)
                if self._place:
                    self._bind()
                self._admission.open()
                self._health.set_ready(True)
                if self._place:
                    self._start()
                event(_log, logging.INFO, "serving", **self._address())
                while not self._reason:
                    self._wait()
        finally:
            self._drain()

    def _unless_stopped(self, work: Callable[[], T]) -> T | None:
        """What `work` returns, done on a thread; None as soon as the server is to stop."""
        working = self._starting.submit(work)
        working.add_done_callback(lambda _: self._wake.put(None))
        while not self._reason and not working.done():
            self._wait()
        return None if self._reason else working.result()

    def _wait(self) -> None:
        """Until something happens or it is time to say again whether the process lives."""
        stuck = max(self._inference.stuck, self._server.stuck)
        self._row["heartbeat"] = time.monotonic() - stuck
        self._health.set_alive(stuck <= self._settings.hang_seconds and not self._figures.hang)
        self._trimmer.trim(idle=self._admission.is_idle)
        with suppress(Empty):
            self._wake.get(timeout=min(_BEAT, self._settings.hang_seconds / 4))

    def _bind(self) -> None:
        """Who connects from now waits for `_start`."""
        listen = self._place.listen if self._place else self._settings.listen
        self._socket.check()
        try:
            port = self._add_port(listen)
        except RuntimeError:
            raise ListenError(CANNOT_LISTEN.format(listen)) from None
        self._socket.made()
        self.port = None if listen.startswith(NO_PORT) else port

    def _start(self) -> None:
        self._server.start()
        event(_log, logging.INFO, "listening", version=__version__, **self._address())

    def _address(self) -> dict[str, str | int]:
        listen: dict[str, str | int] = {"listen": self._settings.listen}
        return listen if self.port is None else listen | {"port": self.port}

    def _add_port(self, listen: str) -> int:
        if self._credentials:
            return self._server.add_secure_port(listen, self._credentials)
        return self._server.add_insecure_port(listen)

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

    def _drain(self) -> None:
        """Readiness goes first, then calls in progress are finished. What is left is cut off by the process's end.

        New calls are refused by the service, and the server is not stopped: gRPC ends as CANCELLED what comes after
        that, which callers do not try again. A connection that closes is UNAVAILABLE to all of its calls.
        """
        event(_log, logging.INFO, "draining", reason=self._reason, drain_seconds=self._settings.drain_seconds)
        self._health.set_ready(False)
        self._admission.close()
        drained = self._admission.idle(self._settings.drain_seconds)
        if drained:
            # A call that was on its way hears that it is refused, and the last replies leave.
            time.sleep(_LAST_WORDS)
        self._socket.remove()
        if self._tracing:
            self._tracing.close()
        event(_log, logging.INFO, "stopped", drained=drained)


def _begin_tracing() -> "Tracing":
    try:
        from .telemetry.tracing import Tracing

        return Tracing()
    except ModuleNotFoundError:
        raise SettingsError(f"{names_of('tracing')} needs more packages: pip install 'paravec[otel]'") from None
    except Exception as error:
        raise SettingsError(f"{names_of('tracing')}: a variable OTEL_* cannot be: {error}") from error


def serve(settings: Settings, place: Place | None = None) -> None:
    """Serve until a signal stops it, as one of several workers if there is a place among them."""
    app = App(settings, place)
    on_stop(app.stop)
    app.run()
