"""OpenAI's embeddings as a gRPC service."""
