"""One server process, from start to drain."""

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
from paravec_model.encoder import Encoder

from .model import open_encoder
from .process.listen import Listener
from .process.malloc import MallocTrimmer
from .process.signals import on_stop
from .process.worker import WorkerIdentity
from .rpc.admission import Admission
from .rpc.channel_args import channel_args
from .rpc.compute_slots import ComputeSlots, max_threads
from .rpc.dispatcher import Dispatcher
from .rpc.fast_path.self_test import fast_path_works
from .rpc.server import RpcServer
from .rpc.thread_pool import ElasticThreadPool
from .security.bearer_tokens import BearerTokens
from .security.tls import server_credentials
from .services import embedding, health, open_inference, openai
from .services.embedding import EmbeddingService
from .services.health import Health
from .services.inference import Inference
from .services.open_inference import OpenInferenceService
from .services.openai import OpenAIService
from .services.reflection import reflection_methods
from .settings import Settings, SettingsError, setting_names
from .telemetry.counters import SharedCounters
from .telemetry.liveness import liveness_problem, readiness_problem
from .telemetry.logs import event
from .telemetry.metrics import ServerInfo, in_flight_limits, metrics_page, model_labels
from .telemetry.operations import serve_operations

if TYPE_CHECKING:
    from .telemetry.tracing import Tracing

# New objects until the youngest generation is collected. Python's default of 700 took 3 % of the time of short calls,
# which leave no reference cycles.
_GC_THRESHOLD = 20_000

# How long a thread may keep the GIL. With Python's default of 5 ms, the thread that answers short calls waits at each
# event for threads that parse and write batches.
_SWITCH_SECONDS = 0.001

# Time for gRPC to send the last responses, and for late calls to be refused, once no call is in progress.
_FLUSH_SECONDS = 0.2

_HEARTBEAT_SECONDS = 1.0

_log = logging.getLogger(__name__)

T = TypeVar("T")


class App:
    """One server, from start to stop.

    A server without other workers listens once the model is open, and is ready once it is warm. One of several workers
    listens only when it is ready: until then, connections go to workers that are.
    """

    def __init__(self, settings: Settings, identity: WorkerIdentity | None = None) -> None:
        """`identity`: which worker of several this is; None without others. Raises SettingsError or ListenError."""
        self._settings, self._identity = settings, identity
        self._stop_reason = ""
        # A SimpleQueue is reentrant, so a signal handler may put into it; an Event's lock might be held at that moment.
        self._wakeups: SimpleQueue[None] = SimpleQueue()
        self._health = Health(embedding.SERVICE, open_inference.SERVICE, openai.SERVICE)
        self._shared_counters = identity.shared_counters if identity else SharedCounters()
        self._counters = identity.counters if identity else self._shared_counters.workers[0]
        self._counters.reset(os.getpid())
        self._counters["heartbeat"] = time.monotonic()
        self._info = ServerInfo({}, in_flight_limits(settings))
        if settings.operations_listen and not identity:
            live, ready = (partial(f, self._shared_counters, settings) for f in (liveness_problem, readiness_problem))
            serve_operations(settings.operations_listen, live, ready, metrics_page(self._shared_counters, self._info))
        self._admission = Admission(settings, self._counters)
        # Threads for all streams, whose number may be twice its limit (see `admission`), and all calls with a slot or
        # preempted: a call that has a slot must not wait for a thread, because the others wait for its slot.
        threads = 2 * settings.max_streams_in_flight + max_threads(settings.inference_threads)
        executor = ElasticThreadPool(threads, "call")
        self._slots = ComputeSlots(settings.inference_threads, executor, settings.max_wait_seconds)
        self._inference = Inference(settings, self._counters, self._slots)
        self._services = (
            EmbeddingService(settings, self._inference, self._admission),
            OpenInferenceService(settings, self._inference, self._admission, self._health.is_alive),
            OpenAIService(settings, self._inference, self._admission),
        )
        methods = self._health.methods()
        for service in self._services:
            methods |= service.methods()
        if settings.reflection:
            methods |= reflection_methods(
                embedding.DESCRIPTOR, open_inference.DESCRIPTOR, openai.DESCRIPTOR, health.DESCRIPTOR
            )
        tokens = BearerTokens(settings.tokens_file) if settings.tokens_file else None
        credentials = server_credentials(settings)
        self._tracing = _create_tracing() if settings.tracing else None
        self._trimmer = MallocTrimmer()
        self._start_executor = ThreadPoolExecutor(1, thread_name_prefix="start")
        dispatcher = Dispatcher(methods, self._admission, self._counters, tokens, self._tracing, settings.peer_seconds)
        self._server = RpcServer(
            dispatcher,
            self._slots,
            options=[
                *channel_args(settings),
                # Workers share their supervisor's port. Without others, a second server on the port must fail.
                ("grpc.so_reuseport", int(identity is not None)),
            ],
            fast_path=fast_path_works(settings),
            max_wait=settings.max_wait_seconds,
        )
        add_port: Callable[[str], int] = self._server.add_insecure_port
        if credentials:
            add_port = partial(self._server.add_secure_port, server_credentials=credentials)
        self._add_port = add_port
        self._listener = Listener(identity.listen if identity else settings.listen)

    def stop(self, reason: str) -> None:
        """Make `run` drain and return. Safe to call from a signal handler."""
        self._stop_reason = self._stop_reason or reason
        self._wakeups.put(None)

    def run(self) -> None:
        """Serve until `stop`. Raises ModelError, SettingsError or ListenError if the server cannot start.

        The caller exits the process afterwards: that closes the connections.
        """
        encoder = self._run_unless_stopped(partial(open_encoder, self._settings))
        if encoder is None:
            return
        if self._tracing:
            self._tracing.describe(encoder.manifest)
        self._info.model = model_labels(encoder.manifest, self._settings)
        if not self._identity:
            self._listener.bind(self._add_port)
            self._start_server()
        try:
            self._run_unless_stopped(encoder.warm_up)
            if not self._stop_reason:
                self._serve(encoder)
        finally:
            self._drain()

    def _serve(self, encoder: Encoder) -> None:
        """Turn ready, and wait for a stop."""
        # Objects made during the start stay alive until the end: the garbage collector need not visit them.
        gc.freeze()
        gc.set_threshold(_GC_THRESHOLD)
        sys.setswitchinterval(_SWITCH_SECONDS)
        self._inference.encoder = encoder
        for service in self._services:
            service.serve(encoder)
        if self._identity:
            self._listener.bind(self._add_port)
        self._admission.open()
        self._health.set_ready(True)
        if self._identity:
            self._start_server()
        event(_log, logging.INFO, "serving", threads=self._settings.inference_threads, **self._address())
        while not self._stop_reason:
            self._beat()

    def _run_unless_stopped(self, work: Callable[[], T]) -> T | None:
        """The result of `work`, run in a thread; None as soon as the server is stopped."""
        future = self._start_executor.submit(work)
        future.add_done_callback(lambda _: self._wakeups.put(None))
        while not self._stop_reason and not future.done():
            self._beat()
        return None if self._stop_reason else future.result()

    def _beat(self) -> None:
        """Report liveness and trim memory, then wait for a wake-up or the next heartbeat."""
        stuck = max(self._slots.stuck_seconds, self._server.stuck_seconds)
        self._counters["heartbeat"] = time.monotonic() - stuck
        self._health.set_alive(stuck <= self._settings.hang_seconds and not self._shared_counters.hang)
        self._trimmer.trim(idle=self._admission.is_idle)
        with suppress(Empty):
            self._wakeups.get(timeout=min(_HEARTBEAT_SECONDS, self._settings.hang_seconds / 4))

    def _start_server(self) -> None:
        self._server.start()
        event(_log, logging.INFO, "listening", version=__version__, **self._address())

    def _address(self) -> dict[str, str | int]:
        """The log's fields for the address."""
        port = {} if self._listener.port is None else {"port": self._listener.port}
        return {"listen": self._listener.address, **port}

    def _drain(self) -> None:
        """Turn not ready, refuse new calls and let those in progress finish, for `drain_seconds` at most.

        The gRPC server is not stopped: it would end new calls as CANCELLED, which clients do not retry. Calls that the
        exit of the process cuts off are UNAVAILABLE, which clients retry.
        """
        event(_log, logging.INFO, "draining", reason=self._stop_reason, drain_seconds=self._settings.drain_seconds)
        self._health.set_ready(False)
        self._admission.close()
        drained = self._admission.wait_until_idle(self._settings.drain_seconds)
        if drained:
            time.sleep(_FLUSH_SECONDS)
        self._listener.close()
        if self._tracing:
            self._tracing.close()
        event(_log, logging.INFO, "stopped", drained=drained)


def _create_tracing() -> "Tracing":
    try:
        from .telemetry.tracing import Tracing

        return Tracing()
    except ModuleNotFoundError:
        raise SettingsError(f"{setting_names('tracing')} needs more packages: pip install 'paravec[otel]'") from None
    except Exception as error:
        raise SettingsError(f"{setting_names('tracing')}: a variable OTEL_* is invalid: {error}") from error


def serve(settings: Settings, identity: WorkerIdentity | None = None) -> None:
    """Serve until a signal stops the server. `identity`: which worker of several this is; None without others."""
    app = App(settings, identity)
    on_stop(app.stop)
    app.run()
