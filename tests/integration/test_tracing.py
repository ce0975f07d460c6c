"""Spans of a real server, as a real collector gets them by OTLP."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from paravec.v1 import embedding_pb2 as pb
from paravec_model.artifact import Artifact
from paravec_model.encoder import Encoder
from paravec_server.rpc.server import RpcServer

from ..calls import embed, started, stub_of
from ..servers import PATIENCE, Server, command, compute_slots, running
from .test_faults import Broken, build

pytest.importorskip("opentelemetry.sdk", reason="the extra otel is not installed")

from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1 import trace_pb2

SECRET = "grünerdrachen"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = ("traceparent", f"00-{TRACE}-{PARENT}-01")
SERVER_KIND, ERROR = trace_pb2.Span.SPAN_KIND_SERVER, trace_pb2.Status.STATUS_CODE_ERROR


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps what it gets."""

    def __init__(self) -> None:
        self.resources: list[dict[str, Any]] = []
        self.spans: list[Any] = []
        self.raw = b""

    def Export(self, request: Any, _: grpc.ServicerContext) -> Any:  # noqa: N802
        """Take spans."""
        self.raw += request.SerializeToString()
        for part in request.resource_spans:
            self.resources.append(facts(part.resource))
            self.spans += [span for scope in part.scope_spans for span in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()


def facts(owner: Any) -> dict[str, Any]:
    """The attributes of a span or a resource."""
    return {pair.key: getattr(pair.value, str(pair.value.WhichOneof("value"))) for pair in owner.attributes}


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A collector, and servers told to send to it; they have no time to before they drain."""
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "600000")
    with started(server) as target:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://{target}")
        yield collector


def calls_in(server: Server) -> list[dict[str, Any]]:
    """The events `call` of its log."""
    events = [json.loads(line) for line in server.lines]
    return [event for event in events if event["event"] == "call"]


def test_each_call_is_exported_as_a_span(artifact: Artifact, collector: Collector) -> None:
    """The span continues the caller's trace, has the call's attributes and no text, is named in the log, and is sent
    before exit."""
    flags = ("--tracing", "--log-level", "debug")
    with running(artifact.path, *flags) as server, stub_of(server.target) as stub:
        state = ("tracestate", "rojo=1,congo=2")
        stub.Embed(embed(f"the fire {SECRET}", "a"), metadata=[TRACEPARENT, state, ("x-request-id", "mine")])
        stub.GetModel(pb.GetModelRequest())
        list(stub.EmbedStream(iter([pb.EmbedStreamRequest(document=pb.Document(text="fire"))] * 3)))
        with pytest.raises(grpc.RpcError):
            stub.Embed(embed(), metadata=[("x-request-id", "empty")])
        assert server.stop() == 0
        logged = {call["request_id"]: call for call in calls_in(server)}

    spans = {facts(span)["paravec.request_id"]: span for span in collector.spans}
    assert len(spans) == len(collector.spans)
    assert sorted(span.name for span in spans.values() if span.name.startswith("paravec.v1.EmbeddingService/E")) == [
        "paravec.v1.EmbeddingService/Embed", "paravec.v1.EmbeddingService/Embed",
        "paravec.v1.EmbeddingService/EmbedStream",
    ]  # fmt: skip
    span = spans["mine"]
    assert (span.trace_id.hex(), span.parent_span_id.hex(), span.trace_state) == (TRACE, PARENT, state[1])
    assert span.kind == SERVER_KIND
    assert span.start_time_unix_nano < span.end_time_unix_nano
    assert facts(span) == {
        "rpc.system": "grpc", "rpc.service": "paravec.v1.EmbeddingService", "rpc.method": "Embed",
        "rpc.grpc.status_code": 0, "paravec.documents": 2, "paravec.tokens": 3, "paravec.request_id": "mine",
        "paravec.model.name": artifact.manifest.name, "paravec.model.version": artifact.manifest.version,
    }  # fmt: skip
    (stream,) = (span for span in spans.values() if span.name.endswith("EmbedStream"))
    assert facts(stream)["paravec.documents"] == 3
    assert stream.trace_id.hex() != TRACE
    assert not stream.parent_span_id
    failed = spans["empty"]
    assert facts(failed)["rpc.grpc.status_code"] == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert failed.status.code != ERROR, "the caller's fault is no error of the server"
    assert {name: span.trace_id.hex() for name, span in spans.items()} == {
        name: call["trace_id"] for name, call in logged.items()
    }
    assert SECRET.encode() not in collector.raw
    for resource in collector.resources:
        assert resource["service.name"] == "paravec-server"


@pytest.mark.parametrize("name", [{"OTEL_SERVICE_NAME": "mine"}, {"OTEL_RESOURCE_ATTRIBUTES": "service.name=mine"}])
def test_opentelemetrys_environment_variables_apply(name: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """OTEL_SERVICE_NAME overrides our service name."""
    from paravec_server.telemetry.tracing import Tracing

    for variable, value in name.items():
        monkeypatch.setenv(variable, value)
    tracing = Tracing()
    assert tracing._provider.resource.attributes["service.name"] == "mine"
    tracing.close()


@pytest.mark.parametrize("state", ["", "=" * 600, ",".join(f"k{i}=v" for i in range(64)), "a=b,a=c", "\x01=ä"])
def test_invalid_trace_metadata_gets_a_valid_span(state: str) -> None:
    """Whatever traceparent holds, the call has a valid span."""
    from paravec_server.telemetry.tracing import Tracing

    tracing = Tracing()
    for parent in (
        "", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", f"ff-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}", "x" * 5000,
        f"00-{TRACE}-{PARENT}-01-extra", "00-äö", "00--00", "\x00", TRACE, TRACEPARENT[1],
    ):  # fmt: skip
        span = tracing.begin("/a.B/C", [("traceparent", parent), ("tracestate", state), ("x-bin", b"\xff")])
        assert re.fullmatch("[0-9a-f]{32}", span.log_fields["trace_id"])
        assert (span.log_fields["trace_id"] == TRACE) == (parent == TRACEPARENT[1])
    tracing.close()


def test_an_internal_error_marks_its_span(
    encoder: Encoder, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    """The line in the log has the trace's id, the span is marked as failed, and neither quotes the document."""
    from paravec_server.telemetry.tracing import Tracing

    _, calls = build(Broken(encoder))
    calls._tracing = tracing = Tracing()
    with started(RpcServer(calls, compute_slots(2))) as target, stub_of(target) as stub:
        with pytest.raises(grpc.RpcError):
            stub.Embed(embed(SECRET), metadata=[TRACEPARENT])
    tracing.close()
    (record,) = (record for record in caplog.records if record.getMessage() == "internal error")
    assert record.__dict__["facts"]["trace_id"] == TRACE
    (span,) = collector.spans
    assert span.trace_id.hex() == TRACE
    assert span.status.code == ERROR
    assert facts(span)["rpc.grpc.status_code"] == grpc.StatusCode.INTERNAL.value[0]
    assert SECRET.encode() not in collector.raw


def test_an_unreachable_collector_affects_no_call(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls are answered, one line says that spans cannot be sent, and the stop is not delayed."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    for name, value in {"SCHEDULE_DELAY": "10", "MAX_QUEUE_SIZE": "4", "MAX_EXPORT_BATCH_SIZE": "2"}.items():
        monkeypatch.setenv(f"OTEL_BSP_{name}", value)
    with running(artifact.path, "--tracing") as server, stub_of(server.target) as stub:
        stub.Embed(embed("fire"))
        assert server.wait_for("traces cannot be sent")["level"] == "warning"
        for _ in range(200):
            stub.Embed(embed("fire"), timeout=PATIENCE)
        assert server.stop() == 0
    assert server.log.count("traces cannot be sent") == 1
    assert all(json.loads(line)["event"] for line in server.lines), "every line is ours"
    assert len(server.lines) < 12


def test_without_tracing_opentelemetry_is_not_imported() -> None:
    """A server without --tracing does not import OpenTelemetry."""
    code = "import sys, paravec_server.app; sys.exit('opentelemetry' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_missing_extra_is_one_clear_line(artifact: Artifact) -> None:
    """It says what to install; exit code 2."""
    code = "import sys; sys.modules['opentelemetry'] = None; from paravec_server.cli import main; sys.exit(main())"
    flags = command(artifact.path, "--tracing")[3:]
    done = subprocess.run([sys.executable, "-c", code, *flags], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    wanted = "paravec-server: --tracing (PARAVEC_TRACING) needs more packages: pip install 'paravec[otel]'\n"
    assert done.stderr == wanted


def test_a_wrong_variable_is_one_clear_line(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    """What OpenTelemetry does not take is a wrong setting."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "soon")
    done = subprocess.run(command(artifact.path, "--tracing"), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("paravec-server: --tracing (PARAVEC_TRACING): a variable OTEL_*")
