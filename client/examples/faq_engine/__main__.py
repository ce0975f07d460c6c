"""Runs the service: python -m faq_engine --faq FILE. PARAVEC_TARGET names the paravec server, and the other variables
of `ClientConfig.from_environment` configure the client."""

import argparse
import logging
import os
import sys
from pathlib import Path

import uvicorn

from paravec_client import ClientConfig, ConfigError

from .app import HERE, build
from .faq import FaqError


def main() -> int:
    """Serve until SIGTERM or SIGINT; returns the exit status."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    environ = os.environ
    parser = argparse.ArgumentParser(prog="faq_engine", description=__doc__)
    default = environ.get("FAQ_FILE") or str(HERE / "faqs/office-en.json")
    parser.add_argument("--faq", type=Path, default=default, help="the entries (FAQ_FILE) [%(default)s]")
    default = environ.get("FAQ_LISTEN") or "127.0.0.1:8080"
    parser.add_argument("--listen", default=default, help="host:port (FAQ_LISTEN) [%(default)s]")
    default = environ.get("FAQ_THRESHOLD") or "0.1"
    text = "least score of an answer, at most 1 (FAQ_THRESHOLD) [%(default)s]"
    parser.add_argument("--threshold", type=float, default=default, help=text)
    arguments = parser.parse_args()
    host, _, port = arguments.listen.rpartition(":")
    if not (port.isascii() and port.isdigit() and int(port[:6]) < 2**16):
        parser.error(f"--listen must be host:port, not {arguments.listen!r}")
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    try:
        app = build(ClientConfig.from_environment(), arguments.faq, arguments.threshold)
    except (FaqError, ConfigError) as error:
        print(f"faq_engine: {error}", file=sys.stderr)
        return 1
    # No access log: URLs contain the questions, which are private.
    uvicorn.run(app, host=host.strip("[]"), port=int(port), access_log=False, server_header=False, log_level="info")
    return 0


if __name__ == "__main__":
    sys.exit(main())
