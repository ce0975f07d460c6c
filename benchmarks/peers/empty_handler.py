"""The cost of gRPC itself in Python: a handler that returns a constant vector of VECTOR_SIZE numbers per document.

python empty_handler.py PORT VECTOR_SIZE
"""

import sys
from concurrent.futures import ThreadPoolExecutor

import grpc

from paravec.v1 import embedding_pb2 as pb


def main() -> None:
    """Serve until the process is killed."""
    port, vector_size = map(int, sys.argv[1:])
    vector = [0.1] * vector_size
    model = pb.ModelVersion(name="empty", version="1", digest="sha256:" + 64 * "0")

    def embed(request: pb.EmbedRequest, _context: grpc.ServicerContext) -> pb.EmbedResponse:
        embeddings = [pb.Embedding(vector=vector, token_count=20, known_token_count=20) for _ in request.documents]
        return pb.EmbedResponse(embeddings=embeddings, model=model)

    handler = grpc.unary_unary_rpc_method_handler(
        embed, request_deserializer=pb.EmbedRequest.FromString, response_serializer=pb.EmbedResponse.SerializeToString
    )
    # On one core, 8 threads were fastest of 1, 2, 4, 8 and 32.
    server = grpc.server(ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("paravec.v1.EmbeddingService", {"Embed": handler})]
    )
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main()
