"""Sends one span per call to an OpenTelemetry collector by OTLP. Spans hold sizes and statuses, never texts.

OpenTelemetry's own variables, OTEL_*, set endpoint, sampling and service name. If the collector is down, spans are lost
and calls go on. This module is imported only with the setting `tracing`: its packages are the extra `otel`.
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

# Metadata of W3C Trace Context.
_TRACE_CONTEXT = ("traceparent", "tracestate")

# Statuses that mark a server span as an error, by OpenTelemetry's conventions for gRPC.
_ERROR_CODES = {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}

# How long `close` waits for the last spans to be sent.
_FLUSH_SECONDS = 3.0

_log = logging.getLogger(__name__)


class Tracing:
    """Starts spans, and exports those that ended."""

    def __init__(self) -> None:
        """Raises an exception of OpenTelemetry if an OTEL_* variable is invalid."""
        # OpenTelemetry logs each failed export; `_Exporter` logs the first.
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
        """Add the model's name and version to spans from now on."""
        self._model = {"paravec.model.name": manifest.name, "paravec.model.version": manifest.version}

    def begin(self, name: str, metadata: Iterable[tuple[str, Any]]) -> "CallSpan":
        """Start the span of a call. `name` is /package.Service/Method; a span in the metadata becomes the parent."""
        carrier = {key: value for key, value in metadata if key in _TRACE_CONTEXT}
        name = name.lstrip("/")
        service, _, method = name.rpartition("/")
        attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method, **self._model}
        context = self._propagator.extract(carrier)
        return CallSpan(self._tracer.start_span(name, context, SpanKind.SERVER, attributes))

    def close(self) -> None:
        """Send the spans that ended, for 3 seconds at most."""
        closing = threading.Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        closing.start()
        closing.join(_FLUSH_SECONDS)


class CallSpan:
    """The span of one call."""

    def __init__(self, span: Span) -> None:
        self._span = span
        context = span.get_span_context()
        self.log_fields = {"trace_id": format_trace_id(context.trace_id)} if context.is_valid else {}
        """Fields that join a log line to this span."""

    def end(self, code: grpc.StatusCode, **facts: str | int) -> None:
        """End the span with the call's status `code`; each of `facts` becomes an attribute paravec.*."""
        attributes = {f"paravec.{name}": value for name, value in facts.items()}
        self._span.set_attributes(attributes | {"rpc.grpc.status_code": code.value[0]})
        if code.name in _ERROR_CODES:
            self._span.set_status(StatusCode.ERROR)
        self._span.end()


class _Exporter(SpanExporter):
    """Logs the first export that fails, and the first that succeeds again."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._succeeds = True

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            result = self._exporter.export(spans)
        except Exception as error:
            result, reason = SpanExportResult.FAILURE, {"error": type(error).__name__}
        else:
            reason = {}
        succeeds = result is SpanExportResult.SUCCESS
        if succeeds != self._succeeds:
            self._succeeds = succeeds
            if succeeds:
                event(_log, logging.INFO, "traces are sent again")
            else:
                event(_log, logging.WARNING, "traces cannot be sent", spans=len(spans), **reason)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()
