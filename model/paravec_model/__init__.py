"""Doc2Vec models: artifacts, tokenizers, inference, training and conversion. No protocols: no protobuf, no gRPC."""

__version__ = "0.1.0"
