"""Answers Prometheus on loopback, from a thread of its own."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler
from ipaddress import ip_address
from types import TracebackType

from demoloop.deploy.errors import DeployError
from demoloop.deploy.metrics import CONTENT_TYPE, Metric, exposition

_PATIENCE_S = 2.0  # for a request to be sent and read: one that dawdles delays the next so long
_END_S = 0.5  # for the last answer


class MetricsServer:
    """Serves `http://HOST:PORT/metrics` within a `with` block.

    Args:
        address: HOST:PORT of loopback; port 0 takes a free one.
        collect: Makes the metrics when they are asked for, without waiting for anybody.

    Raises:
        DeployError: The address is none, or not of loopback.
    """

    def __init__(self, address: str, collect: Callable[[], Iterable[Metric]]) -> None:
        self._host, self._port = parse_address(address)
        self._collect = collect
        self.url = ""

    def __enter__(self) -> MetricsServer:
        """Binds; raises DeployError when the port is taken."""
        collect = self._collect

        class Handler(_Handler):
            def text(self) -> str:
                return exposition(collect())

        try:
            self._server = _Server((self._host, self._port), Handler)
        except OSError as error:
            raise DeployError(
                f"metrics cannot be served at {self._host}:{self._port}: {error.strerror}; "
                "choose another port with --metrics"
            ) from error
        self.url = f"http://{self._host}:{self._server.server_address[1]}/metrics"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.2,), name="metrics", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Serves no more."""
        # `shutdown` waits for the request that is being read, which may dawdle for ever.
        threading.Thread(target=self._server.shutdown, daemon=True).start()
        self._thread.join(_END_S)
        self._server.server_close()


def parse_address(address: str) -> tuple[str, int]:
    """Splits HOST:PORT; raises DeployError unless it is a port of loopback."""
    host, _, port = address.rpartition(":")
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise DeployError(f"--metrics is {address!r}; say HOST:PORT, such as 127.0.0.1:9100")
    try:
        is_loopback = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback or ":" in host:
        raise DeployError(
            f"--metrics is {address!r}; they are neither encrypted nor locked, so name "
            "127.0.0.1:PORT and fetch them from elsewhere with `ssh -L`"
        )
    return host, int(port)


class _Server(socketserver.TCPServer):
    """One request after the other. Not `http.server.HTTPServer`, which asks DNS for a name."""

    allow_reuse_address = True
    request_queue_size = 4

    def handle_error(self, request: object, client_address: object) -> None:
        """One who leaves in the middle of an answer is nobody's fault here."""


class _Handler(BaseHTTPRequestHandler):
    timeout = _PATIENCE_S

    def text(self) -> str:
        """Returns the metrics of this moment."""
        raise NotImplementedError

    def do_GET(self) -> None:
        """Answers one request."""
        if self.path.split("?")[0] != "/metrics":
            self.send_error(404, "there is only /metrics")
            return
        body = self.text().encode()
        self.send_response(200)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def version_string(self) -> str:
        """Tells nobody which Python this is."""
        return "demoloop"

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not of interest."""
