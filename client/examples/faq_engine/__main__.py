"""Runs the service: python -m faq_engine --faq FILE. PARAVEC_TARGET names the paravec server, and the other variables
of `ClientConfig.from_environment` configure the client."""

import argparse
import logging
import os
import socket
import sys
from pathlib import Path

import uvicorn

from paravec_client import ClientConfig, ConfigError

from .app import HERE, build
from .faq import FaqError
from .search import THRESHOLD
from .translations import TRANSLATIONS

# A person waits for the answer, and a call repeats what failed.
_TIMEOUT = "2"


def main() -> int:
    """Serve until SIGTERM or SIGINT; returns the exit status."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    os.environ.setdefault("PARAVEC_TIMEOUT", _TIMEOUT)
    environ = os.environ
    parser = argparse.ArgumentParser(prog="faq_engine", description=__doc__)
    default = environ.get("FAQ_FILE") or str(HERE / "faqs/office-en.jsonl")
    parser.add_argument("--faq", type=Path, default=default, help="the entries (FAQ_FILE) [%(default)s]")
    default = environ.get("FAQ_TITLE") or "Questions and answers"
    parser.add_argument("--title", default=default, help="title of the page (FAQ_TITLE) [%(default)s]")
    default = environ.get("FAQ_LANGUAGE") or "en"
    text = f"language of the page, {' or '.join(TRANSLATIONS)} (FAQ_LANGUAGE) [%(default)s]"
    parser.add_argument("--language", default=default, help=text)
    default = environ.get("FAQ_LISTEN") or "127.0.0.1:8080"
    parser.add_argument("--listen", default=default, help="host:port (FAQ_LISTEN) [%(default)s]")
    default = environ.get("FAQ_THRESHOLD") or str(THRESHOLD)
    text = "least percentage of an answer (FAQ_THRESHOLD) [%(default)s]"
    parser.add_argument("--threshold", type=float, default=default, help=text)
    arguments = parser.parse_args()
    if arguments.language not in TRANSLATIONS:
        parser.error(f"--language must be {' or '.join(TRANSLATIONS)}, not {arguments.language!r}")
    host, _, port = arguments.listen.rpartition(":")
    if not (port.isascii() and port.isdigit() and int(port[:6]) < 2**16):
        parser.error(f"--listen must be host:port, not {arguments.listen!r}")
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    try:
        config = ClientConfig.from_environment()
        app = build(config, arguments.faq, arguments.threshold, title=arguments.title, language=arguments.language)
        listener = _listener(host.strip("[]"), int(port))
    except (FaqError, ConfigError) as error:
        print(f"faq_engine: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        problem = f"cannot listen on {arguments.listen}: {os.strerror(error.errno) if error.errno else error}"
        print(f"faq_engine: {problem}; choose another address by --listen (FAQ_LISTEN)", file=sys.stderr)
        return 1
    shown = f"[{host.strip('[]')}]" if ":" in host else host
    logging.getLogger(__name__).info("the page is at http://%s:%d", shown, listener.getsockname()[1])
    # No access log: URLs contain the questions, which are private.
    settings = uvicorn.Config(app, access_log=False, server_header=False, log_level="warning")
    uvicorn.Server(settings).run(sockets=[listener])
    return 0


def _listener(host: str, port: int) -> socket.socket:
    """A listening socket; OSError if the address is taken or not this machine's."""
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = found[0]
    # [::] takes IPv4 too, as in the image.
    both = family == socket.AF_INET6 and address[0] == "::" and socket.has_dualstack_ipv6()
    return socket.create_server(address[:2], family=family, backlog=2048, dualstack_ipv6=both)


if __name__ == "__main__":
    sys.exit(main())
