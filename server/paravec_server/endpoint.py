"""A small HTTP server for one page, which no client can hang or hold up."""

import logging
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any

from .logs import event

# Connections at once, each with a thread: who comes beyond them takes the place of the one that was there longest.
_MOST = 8

# Seconds that a connection may last, and that it may send or take nothing.
_LONGEST, _SILENCE = 10.0, 5.0

_log = logging.getLogger(__name__)

Page = Callable[[str], tuple[str, bytes]]
"""From what a request accepts to the content's type and the content."""


class Endpoint(ThreadingTCPServer):
    """Answers GET of one path, on threads of its own."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, host: str, port: int, path: str, page: Page) -> None:
        """An empty `host`, or ::, is all addresses; `port` 0 any free one; OSError if they cannot be listened on."""
        self.path, self.page = path, page
        self._open: dict[Any, float] = {}
        everywhere = host in ("", "::")
        self._both = everywhere and socket.has_dualstack_ipv6()
        if everywhere and not self._both:
            host = "0.0.0.0"  # noqa: S104
        self.address_family = (
            socket.AF_INET6 if self._both else socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        )
        super().__init__((host, port), _Handler)
        self.port: int = self.server_address[1]
        threading.Thread(target=self.serve_forever, name="metrics", daemon=True).start()

    def close(self) -> None:
        """Listen no more."""
        self.shutdown()
        self.server_close()

    def server_bind(self) -> None:
        """As the base does, for IPv4 too where the host is all addresses."""
        if self._both:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Take a connection on, at the cost of the oldest if there are too many."""
        if len(self._open) >= _MOST:
            self._hang_up(next(iter(self._open)))
        self._open[request] = time.monotonic()
        try:
            super().process_request(request, client_address)
        except RuntimeError:
            # The system has no more threads.
            self.shutdown_request(request)

    def service_actions(self) -> None:
        """Twice a second: end what lasts too long."""
        latest = time.monotonic() - _LONGEST
        for request, since in list(self._open.items()):
            if since < latest:
                self._hang_up(request)

    def shutdown_request(self, request: Any) -> None:
        """The connection is done with."""
        self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke off is no news, whatever the reason."""

    def _hang_up(self, request: Any) -> None:
        """Its thread then finds the connection closed."""
        self._open.pop(request, None)
        with suppress(OSError):
            request.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    server: Endpoint
    timeout = _SILENCE
    server_version, sys_version = "paravec", ""

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != self.server.path:
            self.send_error(404, explain=f"there is only {self.server.path}")
            return
        try:
            kind, content = self.server.page(self.headers.get("Accept", ""))
        except Exception as error:
            event(_log, logging.ERROR, "metrics failed", error=type(error).__name__)
            self.send_error(500)
            return
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: it would hold what a client sent."""
