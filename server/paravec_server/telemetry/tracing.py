"""A span for each call, sent to a collector by OTLP: what is measured of a call, and nothing of what it says.

Where to, how much and under which name is said by OpenTelemetry's own variables, OTEL_*. A collector that is not there
costs spans and no call. Loaded only if asked for, since its packages are an extra.
"""

import logging
import threading
from collections.abc import Iterable, Sequence
from typing import Any

import grpc
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Span, SpanKind, StatusCode, format_trace_id
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from paravec_model import __version__
from paravec_model.artifact import Manifest

from .logs import event

# W3C's.
_CARRIED = ("traceparent", "tracestate")

# Statuses that are the server's failure; the others are the caller's, or nobody's.
_OURS = {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}

# Seconds that the last spans have to leave in.
_LAST_SPANS = 3.0

_log = logging.getLogger(__name__)


class Tracing:
    """Begins spans, and sends those that have ended."""

    def __init__(self) -> None:
        """An exception of OpenTelemetry's if a variable OTEL_* cannot be."""
        # They would tell of each batch that did not leave.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        resource = Resource.create({"service.version": __version__})
        if str(resource.attributes["service.name"]).startswith("unknown_service"):
            resource = resource.merge(Resource({"service.name": "paravec-server"}))
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(_Exporter(OTLPSpanExporter())))
        self._tracer = self._provider.get_tracer("paravec_server", __version__)
        self._propagator = TraceContextTextMapPropagator()
        self._model: dict[str, str] = {}

    def describe(self, manifest: Manifest) -> None:
        """Name this model in the spans from now on."""
        self._model = {"paravec.model.name": manifest.name, "paravec.model.version": manifest.version}

    def begin(self, name: str, metadata: Iterable[tuple[str, Any]]) -> "CallSpan":
        """A call of /package.Service/Method has come with this metadata; its span goes on from the caller's."""
        carrier = {key: value for key, value in metadata if key in _CARRIED}
        name = name.lstrip("/")
        service, _, method = name.rpartition("/")
        attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method, **self._model}
        context = self._propagator.extract(carrier)
        return CallSpan(self._tracer.start_span(name, context, SpanKind.SERVER, attributes))

    def close(self) -> None:
        """Send what has ended, if that is done within seconds."""
        closing = threading.Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        closing.start()
        closing.join(_LAST_SPANS)


class CallSpan:
    """The span of one call."""

    def __init__(self, span: Span) -> None:
        self._span = span
        context = span.get_span_context()
        self.names = {"trace_id": format_trace_id(context.trace_id)} if context.is_valid else {}
        """What a line in the log tells of it."""

    def end(self, code: grpc.StatusCode, **facts: str | int) -> None:
        """The call has ended with `code`; each of `facts` becomes an attribute paravec.*."""
        attributes = {f"paravec.{name}": value for name, value in facts.items()}
        self._span.set_attributes(attributes | {"rpc.grpc.status_code": code.value[0]})
        if code.name in _OURS:
            self._span.set_status(StatusCode.ERROR)
        self._span.end()


class _Exporter(SpanExporter):
    """Says once that spans do not leave, and once that they do again."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._leaves = True

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            result = self._exporter.export(spans)
        except Exception as error:
            result, reason = SpanExportResult.FAILURE, {"error": type(error).__name__}
        else:
            reason = {}
        leaves = result is SpanExportResult.SUCCESS
        if leaves != self._leaves:
            self._leaves = leaves
            if leaves:
                event(_log, logging.INFO, "traces are sent again")
            else:
                event(_log, logging.WARNING, "traces cannot be sent", spans=len(spans), **reason)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()
