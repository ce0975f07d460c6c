"""All settings of paravec-server. A flag overrides a variable PARAVEC_*, which overrides the default."""

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from paravec_model import __version__
from paravec_model.cores import usable_cores

NO_PORT = ("unix:", "unix-abstract:", "vsock:")
"""Schemes of addresses that are not host:port."""


class SettingsError(Exception):
    """A setting is missing or invalid. The message is one line that names it."""


class ListenError(Exception):
    """The server cannot listen on an address. The message is one line that names it."""


def _setting(default: Any, help_text: str, **extra: Any) -> Any:
    return field(default=default, metadata={"help": help_text, **extra})


# How --help shows a value whose setting has no metavar of its own. All numbers that are not whole are seconds.
_METAVARS = {int: "N", float: "SECONDS", str: "ADDRESS"}


@dataclass(frozen=True)
class Settings:
    """Each field is a flag and a variable: `max_tokens` is --max-tokens and PARAVEC_MAX_TOKENS.

    The metadata of a field is its line of --help, its bounds or choices, and how its text is converted.
    """

    model: Path = _setting(None, "directory of the model artifact (required)", kind=Path, metavar="DIR")
    listen: str = _setting(
        "[::]:50051", "address for gRPC: host:port, unix:/path or unix-abstract:name; port 0 picks a free one"
    )
    operations_listen: str = _setting(
        "", "address for /livez, /readyz and /metrics over HTTP: host:port; port 0 picks a free one [none]"
    )
    workers: int = _setting(
        1, "worker processes, which share the port and the mapped model; 0 means one for each core", least=0, most=256
    )
    threads: int = _setting(
        0,
        "calls that compute at the same time in each worker; the others wait; 0 divides the cores among the workers",
        least=0,
        most=1024,
    )
    cpu_request: int | None = _setting(
        None,
        "cores that threads and workers divide if no cgroup limits CPU time, as a pod's request [all it may use]",
        kind=int, metavar="N", least=0, most=10_000,
    )  # fmt: skip
    method: str = _setting(
        "model",
        "inference method of calls that do not set one; model means the default in the manifest",
        choices=("model", "sgd", "map"),
    )
    max_concurrent_rpcs: int = _setting(
        4096, "calls and streams in progress in each worker, without short calls", least=1, most=10_000
    )
    max_streams_in_flight: int = _setting(
        256, "streams in progress in each worker; each has two threads", least=1, most=10_000
    )
    max_bytes_in_flight: int = _setting(
        64 * 2**20,
        "bytes of the decompressed requests of these calls and of their unsent responses, in each worker",
        least=1,
        most=10**12,
    )
    max_work_in_flight: float = _setting(
        5.0,
        "CPU seconds that these calls will need, in each worker; estimated from tokens, epochs and the model's size",
        least=0.001,
        most=10**6,
    )
    max_wait_seconds: float = _setting(30.0, "seconds that a call may wait until it computes", least=0.01, most=86400)
    max_connections: int = _setting(
        4096, "open connections to each worker; each may take 1 MiB of memory", least=1, most=10**6
    )
    max_streams: int = _setting(
        100, "concurrent calls and streams of one connection; the client's gRPC queues the rest", least=1, most=10**6
    )
    peer_seconds: float = _setting(
        30.0,
        "seconds that a client may take to send a request or to read a response; then the call is reset",
        least=0.1,
        most=86400,
    )
    max_documents: int = _setting(256, "documents, or queries of FindSimilar, in one call", least=1, most=100_000)
    max_tokens: int = _setting(10_000, "tokens in one document", least=1, most=1_000_000)
    max_epochs: int = _setting(1000, "epochs that a call may ask for", least=1, most=100_000)
    max_top_k: int = _setting(100, "neighbours of a query that a call of FindSimilar may ask for", least=1, most=10_000)
    max_message_bytes: int = _setting(4 * 2**20, "bytes of one request message", least=1024, most=2**31 - 1)
    max_connection_age: float = _setting(
        600.0, "seconds until a client is asked to reconnect; calls in progress finish", least=1, most=86400
    )
    tls_cert: Path | None = _setting(
        None, "PEM file of the server's certificate chain; without it the server speaks plain text [none]",
        kind=Path, metavar="FILE",
    )  # fmt: skip
    tls_key: Path | None = _setting(
        None, "PEM file of the certificate's private key, not encrypted [none]", kind=Path, metavar="FILE"
    )
    tls_client_ca: Path | None = _setting(
        None,
        "PEM file of certificate authorities; clients must show a certificate that one of them signed [none]",
        kind=Path,
        metavar="FILE",
    )
    tokens_file: Path | None = _setting(
        None,
        "file of bearer tokens, one per line; every call but health must carry one [none]",
        kind=Path,
        metavar="FILE",
    )
    drain_seconds: float = _setting(
        30.0, "seconds that calls in progress get to finish when the server stops", least=0, most=86400
    )
    hang_seconds: float = _setting(10.0, "seconds without progress until liveness fails", least=0.1, most=3600)
    verify: str = _setting(
        "manifest",
        "check of the model at start: manifest checks file sizes and digest, full also each file's hash, signature also"
        " that the model is signed by verify_key; needs paravec[signature]",
        choices=("manifest", "full", "signature"),
    )
    verify_key: Path | None = _setting(
        None, "PEM file of the public keys of which one must have signed the model [none]", kind=Path, metavar="FILE"
    )
    reflection: bool = _setting(True, "serve gRPC server reflection, v1 and v1alpha")
    tracing: bool = _setting(
        False, "export a span for each call by OTLP, configured by OTEL_* variables; needs paravec[otel]"
    )
    log_level: str = _setting("info", "lowest level that is logged", choices=("debug", "info", "warning", "error"))
    log_format: str = _setting(
        "text", "format of the log: each event is one line of text or one JSON object", choices=("text", "json")
    )

    def __post_init__(self) -> None:
        if self.model is None:
            raise SettingsError("no model: set --model or PARAVEC_MODEL to the directory of a model artifact")
        for f in fields(self):
            value, meta = getattr(self, f.name), f.metadata
            if "least" in meta and value is not None and not meta["least"] <= value <= meta["most"]:
                raise SettingsError(f"{setting_names(f.name)} must be {meta['least']} to {meta['most']}, not {value}")
            if "choices" in meta and value not in meta["choices"]:
                raise SettingsError(
                    f"{setting_names(f.name)} must be one of {', '.join(meta['choices'])}, not {value!r}"
                )
        if self.verify == "signature" and self.verify_key is None:
            raise SettingsError(f"{setting_names('verify')} signature needs {setting_names('verify_key')}")
        if self.verify != "signature" and self.verify_key is not None:
            raise SettingsError(f"{setting_names('verify_key')} needs {setting_names('verify')} signature")
        if self.operations_listen:
            read_address("operations_listen", self.operations_listen)
        if not self.listen.startswith(NO_PORT):
            read_address("listen", self.listen)

    @property
    def processes(self) -> int:
        """The number of workers; resolves `workers` 0."""
        return self.workers or usable_cores(self.cpu_request)

    @property
    def inference_threads(self) -> int:
        """Calls that compute at the same time in one worker; resolves `threads` 0."""
        return self.threads or max(1, usable_cores(self.cpu_request) // self.processes)


def read_settings(argv: Sequence[str] | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read settings from the command line and the environment. Raises SettingsError for an invalid value."""
    # Not a default argument: help() would print the environment.
    environ = os.environ if environ is None else environ
    given = vars(_parser().parse_args(argv))
    values: dict[str, Any] = {}
    for f in fields(Settings):
        raw = given[f.name]
        if raw is None:
            raw = environ.get(_variable(f.name))
        if raw is not None and raw != "":
            values[f.name] = _convert(f.name, f.metadata.get("kind", type(f.default)), raw)
    return Settings(**values)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="paravec-server",
        description="Serve one Doc2Vec model over gRPC.",
        epilog="Each flag is also a variable: --max-documents is PARAVEC_MAX_DOCUMENTS. A flag overrides its variable."
        "\n\nexample:\n  paravec-server --model models/lee --listen 127.0.0.1:50051",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"paravec {__version__}")
    for f in fields(Settings):
        meta = f.metadata
        default = "" if f.default in (None, "") else f" [{f.default}]"
        options: dict[str, Any] = {"metavar": meta.get("metavar") or _METAVARS.get(type(f.default))}
        if "choices" in meta:
            options = {"metavar": f"{{{','.join(meta['choices'])}}}"}
        elif isinstance(f.default, bool):
            options = {"action": argparse.BooleanOptionalAction}
        parser.add_argument(_flag(f.name), dest=f.name, default=None, help=f"{meta['help']}{default}", **options)
    return parser


def _convert(name: str, kind: Any, raw: Any) -> Any:
    if not isinstance(raw, str):
        return raw
    if kind is bool:
        if raw.lower() in ("1", "true", "yes", "on"):
            return True
        if raw.lower() in ("0", "false", "no", "off"):
            return False
        raise SettingsError(f"{setting_names(name)} must be true or false, not {raw!r}")
    try:
        return kind(raw)
    except ValueError:
        raise SettingsError(f"{setting_names(name)} must be a number, not {raw!r}") from None


def read_address(setting: str, address: str) -> tuple[str, int]:
    """Host, without brackets, and port of an address host:port. Raises SettingsError, which names the setting."""
    host, colon, port = address.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    number = int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else -1
    if not colon or not 0 <= number <= 65535 or (":" in bare) != (bare != host):
        problem = "must be host:port, e.g. 127.0.0.1:9464 or [::]:9464"
        raise SettingsError(f"{setting_names(setting)} {problem}, not {address!r}")
    return bare, number


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _variable(name: str) -> str:
    return "PARAVEC_" + name.upper()


def setting_names(name: str) -> str:
    """The setting as operators know it: its flag and its variable."""
    return f"{_flag(name)} ({_variable(name)})"
