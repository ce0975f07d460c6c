"""The operations port: /livez, /readyz and /metrics over plain HTTP, for kubelets and for Prometheus.

It is a port of its own, so that a probe needs neither gRPC nor the server's TLS: an expired certificate is no reason to
restart a process. The server is prometheus_client's, with a bound on connections.
"""

import io
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from socketserver import TCPServer
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler

from prometheus_client.exposition import ThreadingWSGIServer

from ..settings import ListenError, names_of, read_address
from .logs import event

# Open connections, each with a thread. One more closes the oldest.
_MOST = 8

# Seconds that a connection may last, and that a read or a write may take.
_LONGEST, _SILENCE = 10.0, 5.0

_log = logging.getLogger(__name__)

Check = Callable[[], str]
"""Why the server is not well; "" if it is."""

Page = Callable[[str], tuple[str, bytes]]
"""From what a request accepts to the content's type and the content."""


def serve_operations(address: str, live: Check, ready: Check, metrics: Page) -> "OperationsServer":
    """Serve at `address` (host:port, port 0 for any free one) from threads of its own until `close`; ListenError if it
    cannot be listened on."""
    pages = {"/livez": _probe(live), "/readyz": _probe(ready), "/metrics": _scrape(metrics)}
    try:
        server = OperationsServer(*read_address("operations_listen", address), pages)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "no such host"
        raise ListenError(f"{names_of('operations_listen')} {address}: cannot be listened on: {reason}") from None
    event(_log, logging.INFO, "operations", listen=address, port=server.server_port)
    return server


Response = tuple[str, str, bytes]
"""Status, the content's type, the content."""


def _plain(status: str, line: str) -> Response:
    return status, "text/plain; charset=utf-8", f"{line}\n".encode()


def _probe(check: Check) -> Callable[[str], Response]:
    def answer(_: str) -> Response:
        problem = check()
        return _plain("503 Service Unavailable", problem) if problem else _plain("200 OK", "ok")

    return answer


def _scrape(metrics: Page) -> Callable[[str], Response]:
    return lambda accepted: ("200 OK", *metrics(accepted))


class OperationsServer(ThreadingWSGIServer):
    """A WSGI server with a bound on connections, which no slow client can hold up."""

    request_queue_size = 64

    def __init__(self, host: str, port: int, pages: Mapping[str, Callable[[str], Response]]) -> None:
        """An empty `host`, or ::, is all addresses; OSError if they cannot be listened on."""
        everywhere = host in ("", "::")
        self._both = everywhere and socket.has_dualstack_ipv6()
        if everywhere:
            host = "::" if self._both else "0.0.0.0"  # noqa: S104
        self.address_family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        self._open: dict[Any, float] = {}
        self._pages = pages
        super().__init__((host, port), _Handler)
        self.set_app(self._answer)
        threading.Thread(target=self.serve_forever, name="operations", daemon=True).start()

    def close(self) -> None:
        """Listen no more."""
        self.shutdown()
        self.server_close()

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """The WSGI application."""
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if method not in ("GET", "HEAD"):
            response = _plain("501 Not Implemented", "there are GET and HEAD")
        elif path not in self._pages:
            response = _plain("404 Not Found", f"there are {', '.join(self._pages)}")
        else:
            try:
                response = self._pages[path](environ.get("HTTP_ACCEPT", ""))
            except Exception as error:
                event(_log, logging.ERROR, "operations failed", path=path, error=type(error).__name__)
                response = _plain("500 Internal Server Error", "failed")
        status, kind, content = response
        start_response(status, [("Content-Type", kind), ("Content-Length", str(len(content)))])
        return [] if method == "HEAD" else [content]

    def server_bind(self) -> None:
        """Bind as TCPServer does: HTTPServer looks the host's full name up, which may wait for DNS."""
        if self._both:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def get_request(self) -> Any:
        """Accept a connection, not too often where no descriptors are left for one."""
        try:
            return super().get_request()
        except OSError:
            time.sleep(0.1)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for a connection, and close the oldest one if there are too many."""
        if len(self._open) >= _MOST:
            self._hang_up(next(iter(self._open)))
        self._open[request] = time.monotonic()
        try:
            super().process_request(request, client_address)
        except RuntimeError:
            # The system has no more threads.
            self.shutdown_request(request)

    def service_actions(self) -> None:
        """Close connections that last too long; serve_forever calls this twice a second."""
        latest = time.monotonic() - _LONGEST
        for request, since in list(self._open.items()):
            if since < latest:
                self._hang_up(request)

    def shutdown_request(self, request: Any) -> None:
        """End a connection."""
        self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a connection that broke off."""

    def _hang_up(self, request: Any) -> None:
        """Wake the connection's thread, which finds it closed."""
        self._open.pop(request, None)
        with suppress(OSError):
            request.shutdown(socket.SHUT_RDWR)


class _Handler(WSGIRequestHandler):
    timeout = _SILENCE

    def get_stderr(self) -> Any:
        """Where wsgiref prints the traceback of a connection that broke off; the log has what pages raise."""
        return io.StringIO()

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: it would hold what a client sent."""
