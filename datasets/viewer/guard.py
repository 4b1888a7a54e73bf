"""Who may ask the viewer for what.

The server listens on 127.0.0.1, which keeps other computers out, but not the pages of other
origins that the same browser shows: those can send requests to any address. Hence each request
must name this server as its host (against names rebound to 127.0.0.1), and what changes anything
must come from our own page (Origin) and carry the token that only it can read.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from demoloop.datasets.errors import DatasetError

TOKEN_HEADER = "X-Demoloop-Token"

HEADERS = {
    # All from this server; nothing inline, nothing framed, nothing sent elsewhere.
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def refusal(status: int, sentence: str) -> web.Response:
    """Returns the answer to a request that is not granted, with the reason as JSON."""
    return web.json_response({"error": sentence}, status=status)


def guarding(
    stranger: Callable[[web.Request], web.StreamResponse | None], headers: Mapping[str, str]
) -> Middleware:
    """Returns the middleware that refuses strangers and turns errors into sentences.

    Args:
        stranger: Returns what is said to a request that is not from our own page, else None.
        headers: Of every answer.
    """

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = stranger(request)
        if response is None:
            response = await _answer(request, handler)
        if not response.prepared:  # a WebSocket has said everything by now
            response.headers.update(headers)
            response.headers.setdefault("Cache-Control", "no-cache")
        return response

    return guard


def make_guard(token: str) -> Middleware:
    """Returns the middleware of the viewer, whose page has been given `token`."""
    return guarding(lambda request: _stranger(request, token), HEADERS)


def _stranger(request: web.Request, token: str) -> web.Response | None:
    """Returns a refusal when the request is not from our own page, else None."""
    local = request.transport and request.transport.get_extra_info("sockname")
    port = local[1] if local else 0
    if request.headers.get("Host") not in {f"127.0.0.1:{port}", f"localhost:{port}"}:
        return refusal(403, f"this is the viewer at 127.0.0.1:{port}; open that address")
    if request.method in ("GET", "HEAD"):
        return None
    if request.headers.get("Origin") != f"http://{request.headers['Host']}":
        return refusal(403, "only the viewer's own page may edit")
    if not hmac.compare_digest(
        request.headers.get(TOKEN_HEADER, "").encode("utf-8", "replace"), token.encode()
    ):
        return refusal(403, "this page is of an earlier start of the viewer; load it again")
    return None


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        return refusal(error.status, f"{request.path}: {error.reason.lower()}")
    except DatasetError as error:
        return refusal(409, str(error))
