"""Everything about Doc2Vec models: artifacts, tokenizers, inference, training and conversion. No wire, no gRPC."""

__version__ = "0.1.0"
