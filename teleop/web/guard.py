"""Which requests the panel answers, and with which headers (see datasets/viewer/guard)."""

from __future__ import annotations

import ssl

from aiohttp import web
from aiohttp.typedefs import Middleware

from demoloop.datasets.viewer.guard import HEADERS as VIEWER_HEADERS
from demoloop.datasets.viewer.guard import guarding, refusal
from demoloop.teleop.web.door import COOKIE, Door

HEADERS = VIEWER_HEADERS | {
    # All from this server, nothing inline, nothing framed. WebAssembly is the hand tracker's.
    "Content-Security-Policy": (
        "default-src 'self'; connect-src 'self'; img-src 'self' blob: data:; object-src 'none'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Permissions-Policy": "camera=(self), gamepad=(self), gyroscope=(self), accelerometer=(self), "
    "xr-spatial-tracking=(self), geolocation=(), microphone=()",
}


def make_guard(door: Door) -> Middleware:
    """Returns the middleware that refuses strangers."""
    return guarding(lambda request: _stranger(request, door), HEADERS)


def is_local(request: web.Request) -> bool:
    """Whether the request came to the plain door on 127.0.0.1."""
    transport = request.transport
    return transport is not None and transport.get_extra_info("sslcontext") is None


def _stranger(request: web.Request, door: Door) -> web.StreamResponse | None:
    """Returns what is said to a request that is not from our own page, else None."""
    where = request.transport.get_extra_info("sockname") if request.transport else None
    if where is None:
        return refusal(403, "the connection is gone")
    address, port = f"[{where[0]}]" if ":" in where[0] else where[0], where[1]
    hosts = {f"{address}:{port}"} | ({f"localhost:{port}"} if is_local(request) else set())
    host = request.headers.get("Host", "")
    scheme = "http" if is_local(request) else "https"
    if host not in hosts:
        return refusal(403, f"this is the panel at {scheme}://{address}:{port}; open that address")
    # A WebSocket is no fetch: a page of another origin may open one, and says so here.
    is_socket = request.headers.get("Upgrade", "").lower() == "websocket"
    if (is_socket or request.method not in ("GET", "HEAD")) and (
        request.headers.get("Origin") != f"{scheme}://{host}"
    ):
        return refusal(403, "only the panel's own page may speak to it")
    if is_local(request) or door.knows(request.cookies.get(COOKIE, "")):
        return None
    session = door.redeem(request.query.get("token", "")) if request.path == "/" else None
    if session is None:
        return refusal(
            403, "this needs a new code: show one on the machine where the panel runs, and scan it"
        )
    welcome = web.Response(status=303, headers={"Location": "/"})
    welcome.set_cookie(COOKIE, session, path="/", secure=True, httponly=True, samesite="Lax")
    return welcome


def server_context(certificate: str, key: str) -> ssl.SSLContext:
    """Returns how HTTPS is spoken; files of PEM."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    return context
