"""How a client is configured: in code, from the environment, or as a changed copy (`dataclasses.replace`)."""

from .client_config import Batch, ClientConfig, File, Keepalive, Retry, Tls, resolve_config
from .target import Target, parse_target

__all__ = ["Batch", "ClientConfig", "File", "Keepalive", "Retry", "Target", "Tls", "parse_target", "resolve_config"]
