"""A real server that wants a bearer token, asked by stock gRPC channels."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from paravec.v1 import embedding_pb2 as pb
from paravec.v1 import embedding_pb2_grpc
from paravec_model.artifact import Artifact
from paravec_server.rpc.admission import Admission
from paravec_server.rpc.call import RpcMethod
from paravec_server.rpc.dispatcher import Dispatcher
from paravec_server.rpc.server import RpcServer
from paravec_server.security.bearer_tokens import BearerTokens
from paravec_server.settings import Settings
from paravec_server.telemetry.counters import SharedCounters

from ..calls import SERVICE, started
from ..credentials import NEW, OLD, bearer, health
from ..servers import PATIENCE, compute_slots, running, until


def calls(channel: grpc.Channel, **how: Any) -> Iterator[Callable[[], Any]]:
    """A call of every method that needs a token."""
    stub: Any = embedding_pb2_grpc.EmbeddingServiceStub(channel)
    reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
    document = pb.Document(text="fire")
    yield lambda: stub.Embed(pb.EmbedRequest(documents=[document]), timeout=PATIENCE, **how)
    yield lambda: stub.GetModel(pb.GetModelRequest(), timeout=PATIENCE, **how)
    yield lambda: list(stub.EmbedStream(iter([pb.EmbedStreamRequest(document=document)]), timeout=PATIENCE, **how))
    asked = [reflection_pb2.ServerReflectionRequest(list_services="")]
    yield lambda: list(reflection.ServerReflectionInfo(iter(asked), timeout=PATIENCE, **how))


def refusals(channel: grpc.Channel, **how: Any) -> set[tuple[grpc.StatusCode, str]]:
    """The errors of all methods for a caller without a valid token."""
    found = set()
    for call in calls(channel, **how):
        with pytest.raises(grpc.RpcError) as caught:
            call()
        error: Any = caught.value
        found.add((error.code(), error.details()))
    return found


def test_every_method_but_health_needs_the_token(artifact: Artifact, tokens: Path) -> None:
    """Without the right token every method but health gets the same error, and no log contains a token."""
    more = ("--tokens-file", str(tokens), "--log-level", "debug")
    with running(artifact.path, *more) as server, grpc.insecure_channel(server.target) as channel:
        for call in calls(channel, metadata=bearer(OLD)):
            assert call()
        for call in calls(channel, metadata=bearer(OLD, scheme="bearer")):
            assert call()
        wrong = [(), bearer(NEW), bearer(OLD[:-1]), bearer(f"{OLD}x"), bearer(""), bearer(OLD, scheme="Basic")]
        wrong += [bearer("#"), (("authorization", OLD),), (("authorization", ""),), (("x-authorization", OLD),)]
        assert set().union(*(refusals(channel, metadata=metadata) for metadata in wrong)) == {
            (grpc.StatusCode.UNAUTHENTICATED, "credentials are missing or wrong")
        }
        assert health(channel) == health_pb2.HealthCheckResponse.SERVING
        watched = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=SERVICE))
        assert next(watched).status == health_pb2.HealthCheckResponse.SERVING
        watched.cancel()
        assert server.stop() == 0
        assert '"code": "UNAUTHENTICATED"' in server.log
        assert OLD not in server.log
        assert NEW not in server.log


def test_refused_tokens_are_counted(tokens: Path) -> None:
    """A refused call is counted once under `credentials`, also while the model loads, and is not in flight."""
    row = SharedCounters().workers[0]
    admission = Admission(Settings(model=Path("m")), row)
    methods = {"/any/Method": RpcMethod(lambda *_: b"")}
    server = RpcServer(Dispatcher(methods, admission, row, BearerTokens(tokens)), compute_slots(2))
    with started(server) as target, grpc.insecure_channel(target) as channel:
        call: Any = channel.unary_unary("/any/Method")
        codes = []
        for metadata in ((), bearer(NEW), bearer(OLD)):
            with pytest.raises(grpc.RpcError) as caught:
                call(b"", metadata=metadata, timeout=PATIENCE)
            codes.append(caught.value.code())
    assert codes == [grpc.StatusCode.UNAUTHENTICATED] * 2 + [grpc.StatusCode.UNAVAILABLE]
    assert (row["credentials"], row["loading"], row["calls_in_flight"]) == (2, 1, 0)


def test_tokens_are_rotated_without_a_restart(artifact: Artifact, tokens: Path) -> None:
    """Two at once, then the old one goes; a file that is emptied or gone leaves what was, and a line."""
    with running(artifact.path, "--tokens-file", str(tokens)) as server:
        with grpc.insecure_channel(server.target) as channel:

            def lets_in(token: str) -> bool:
                try:
                    next(calls(channel, metadata=bearer(token)))()
                except grpc.RpcError as error:
                    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
                    return False
                return True

            assert (lets_in(OLD), lets_in(NEW)) == (True, False)
            tokens.write_text(f"{OLD}\n{NEW}\n")
            until(lambda: lets_in(NEW))
            assert lets_in(OLD)
            fresh = tokens.with_name("fresh")
            fresh.write_text(NEW)
            fresh.replace(tokens)
            until(lambda: not lets_in(OLD))
            assert lets_in(NEW)
            for spoil in (lambda: tokens.write_text(""), tokens.unlink):
                spoil()
                kept = server.log.count("tokens not reloaded")
                until(lambda kept=kept: lets_in(NEW) and server.log.count("tokens not reloaded") > kept)  # type: ignore[misc]
            assert (lets_in(OLD), lets_in(NEW)) == (False, True)
        assert server.stop() == 0
        assert server.log.count("tokens reloaded") == 2
        assert server.log.count("tokens not reloaded") == 2
        assert NEW not in server.log


def test_tokens_over_plain_text_are_a_warning(artifact: Artifact, tokens: Path) -> None:
    """Tokens without TLS are a warning on an address that other machines reach, and only there."""
    for listen, warned in (("0.0.0.0:0", True), ("127.0.0.1:0", False)):
        with running(artifact.path, "--tokens-file", str(tokens), "--listen", listen, ready=False) as server:
            server.stop()
            assert ("tokens over plain text" in server.log) == warned
