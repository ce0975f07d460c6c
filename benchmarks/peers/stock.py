"""The same work in a plain grpcio server with default settings.

python stock.py PORT MODEL METHOD --operations-listen HOST:PORT

It counts calls in the same metrics as paravec-server.
"""

import argparse
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2_grpc
from prometheus_client import Counter, start_http_server

from paravec.v1 import embedding_pb2 as pb
from paravec.v1 import embedding_pb2_grpc
from paravec_model.artifact import Artifact
from paravec_model.encoder import Encoder


class Embedder(embedding_pb2_grpc.EmbeddingServiceServicer):
    """Embed and GetModel."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        manifest = encoder.manifest
        self._version = pb.ModelVersion(name=manifest.name, version=manifest.version, digest=manifest.digest)
        calls = Counter("paravec_calls", "Calls that ended.", ["method", "code"])
        self._answered, self._cancelled = calls.labels("Embed", "OK"), calls.labels("Embed", "CANCELLED")

    def Embed(self, request: pb.EmbedRequest, context: grpc.ServicerContext) -> pb.EmbedResponse:  # noqa: N802
        """Vectors of documents."""
        encoding = self._encoder.encode([document.text for document in request.documents])
        response = pb.EmbedResponse(model=self._version)
        for vector, known, count in zip(
            encoding.vectors.tolist(), encoding.known_token_counts, encoding.token_counts, strict=True
        ):
            response.embeddings.add(vector=vector, token_count=count, known_token_count=known)
        # The client of a cancelled call does not get the response.
        (self._answered if context.is_active() else self._cancelled).inc()
        return response

    def GetModel(self, _request: pb.GetModelRequest, _context: Any) -> pb.GetModelResponse:  # noqa: N802
        """Name, version and digest of the model."""
        return pb.GetModelResponse(model=pb.ModelInfo(version=self._version))


def main() -> None:
    """Serve until the process is killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("model")
    parser.add_argument("method", choices=("map", "sgd"))
    parser.add_argument("--operations-listen", required=True)
    arguments = parser.parse_args()
    encoder = Encoder(Artifact.open(arguments.model), arguments.method)
    encoder.warm_up()
    server = grpc.server(ThreadPoolExecutor())
    embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server(Embedder(encoder), server)
    health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)
    host, _, port = arguments.operations_listen.rpartition(":")
    start_http_server(int(port), host)
    server.add_insecure_port(f"127.0.0.1:{arguments.port}")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main()
