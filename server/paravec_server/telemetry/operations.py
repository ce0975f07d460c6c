"""The operations port: /livez, /readyz and /metrics over plain HTTP, for kubelets and for Prometheus.

Probes on a port of their own need neither gRPC nor TLS, so an expired certificate does not restart the process. The
server is prometheus_client's, with a bound on connections and on their duration.
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

from ..settings import ListenError, read_address, setting_names
from .logs import event

# Each connection has a thread. A connection beyond this closes the oldest.
_MAX_CONNECTIONS = 8

_CONNECTION_SECONDS = 10.0

# Timeout of one read or write.
_SOCKET_SECONDS = 5.0

_log = logging.getLogger(__name__)

Check = Callable[[], str]
"""Returns what is wrong; "" if nothing is."""

Page = Callable[[str], tuple[str, bytes]]
"""Maps a request's Accept header to a content type and the content."""


def serve_operations(address: str, live: Check, ready: Check, metrics: Page) -> "OperationsServer":
    """Serve at `address` (host:port; port 0 picks a free one) in background threads until `close`.

    Raises ListenError if the server cannot listen there.
    """
    pages = {"/livez": _probe(live), "/readyz": _probe(ready), "/metrics": _scrape(metrics)}
    try:
        server = OperationsServer(*read_address("operations_listen", address), pages)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "no such host"
        raise ListenError(f"{setting_names('operations_listen')}: cannot listen on {address}: {reason}") from None
    event(_log, logging.INFO, "operations", listen=address, port=server.server_port)
    return server


Response = tuple[str, str, bytes]
"""Status line, content type, content."""


def _plain(status: str, line: str) -> Response:
    return status, "text/plain; charset=utf-8", f"{line}\n".encode()


def _probe(check: Check) -> Callable[[str], Response]:
    def respond(_: str) -> Response:
        problem = check()
        return _plain("503 Service Unavailable", problem) if problem else _plain("200 OK", "ok")

    return respond


def _scrape(metrics: Page) -> Callable[[str], Response]:
    return lambda accept: ("200 OK", *metrics(accept))


class OperationsServer(ThreadingWSGIServer):
    """A WSGI server with bounds that keep slow clients from blocking it."""

    request_queue_size = 64

    def __init__(self, host: str, port: int, pages: Mapping[str, Callable[[str], Response]]) -> None:
        """An empty `host`, or ::, means all addresses. Raises OSError if the server cannot listen there."""
        any_host = host in ("", "::")
        self._dual_stack = any_host and socket.has_dualstack_ipv6()
        if any_host:
            host = "::" if self._dual_stack else "0.0.0.0"  # noqa: S104
        self.address_family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        self._open: dict[Any, float] = {}
        self._pages = pages
        super().__init__((host, port), _Handler)
        self.set_app(self._respond)
        threading.Thread(target=self.serve_forever, name="operations", daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self.shutdown()
        self.server_close()

    def _respond(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """The WSGI application."""
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if method not in ("GET", "HEAD"):
            response = _plain("501 Not Implemented", "only GET and HEAD are supported")
        elif path not in self._pages:
            response = _plain("404 Not Found", f"not found; pages: {', '.join(self._pages)}")
        else:
            try:
                response = self._pages[path](environ.get("HTTP_ACCEPT", ""))
            except Exception as error:
                event(_log, logging.ERROR, "operations failed", path=path, error=type(error).__name__)
                response = _plain("500 Internal Server Error", "failed")
        status, content_type, content = response
        start_response(status, [("Content-Type", content_type), ("Content-Length", str(len(content)))])
        return [] if method == "HEAD" else [content]

    def server_bind(self) -> None:
        """Bind as TCPServer does: HTTPServer also looks up the host's full name, which can block on DNS."""
        if self._dual_stack:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def get_request(self) -> Any:
        """Accept a connection. Without a free file descriptor that fails; the pause keeps the loop from spinning."""
        try:
            return super().get_request()
        except OSError:
            time.sleep(0.1)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for a connection; close the oldest one if there are too many."""
        if len(self._open) >= _MAX_CONNECTIONS:
            self._shut_down(next(iter(self._open)))
        self._open[request] = time.monotonic()
        try:
            super().process_request(request, client_address)
        except RuntimeError:
            # The system has no thread left.
            self.shutdown_request(request)

    def service_actions(self) -> None:
        """Close connections that are too old; serve_forever calls this twice a second."""
        oldest = time.monotonic() - _CONNECTION_SECONDS
        for request, since in list(self._open.items()):
            if since < oldest:
                self._shut_down(request)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a connection that failed."""

    def _shut_down(self, request: Any) -> None:
        """Wake the connection's thread, which then finds the connection closed."""
        self._open.pop(request, None)
        with suppress(OSError):
            request.shutdown(socket.SHUT_RDWR)


class _Handler(WSGIRequestHandler):
    timeout = _SOCKET_SECONDS

    def get_stderr(self) -> Any:
        """Discard wsgiref's traceback of a failed connection; errors of pages are in the log."""
        return io.StringIO()

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: the line would contain what a client sent."""
