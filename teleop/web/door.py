"""Who may look at the panel, and who comes from another machine.

On 127.0.0.1 a page of ours is known by its host and its origin, as in the viewer. Anywhere else
there is HTTPS with a certificate of our own, and whoever comes first shows a token that was shown
to them on this machine's screen; it works once, for a cookie.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable

TOKEN_S = 600.0  # a token that nobody used by then is none
COOKIE = "demoloop-panel"
_MOST_TOKENS = 8  # shown and not used; the oldest goes


class Door:
    """Issues tokens and knows the sessions that came of them. For one thread.

    Args:
        clock: Seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tokens: list[tuple[str, float]] = []  # token, until when
        self._sessions: list[str] = []

    def issue(self) -> str:
        """Returns a new token, to be shown to one person."""
        token = secrets.token_urlsafe(24)
        self._tokens = [*self._tokens, (token, self._clock() + TOKEN_S)][-_MOST_TOKENS:]
        return token

    def is_issued(self, token: str) -> bool:
        """Whether a token is there to be used."""
        now = self._clock()
        return any([_equal(token, issued) and now <= until for issued, until in self._tokens])

    def redeem(self, token: str) -> str | None:
        """Returns a session for a token that was issued and not used before, else None."""
        now = self._clock()
        # All of them are compared, so that time tells nothing.
        is_it = [_equal(token, issued) and now <= until for issued, until in self._tokens]
        if not any(is_it):
            return None
        del self._tokens[is_it.index(True)]
        session = secrets.token_urlsafe(32)
        self._sessions.append(session)
        return session

    def knows(self, session: str) -> bool:
        """Whether a session came of a token."""
        return any([_equal(session, known) for known in self._sessions])


def _equal(said: str, known: str) -> bool:
    return hmac.compare_digest(said.encode("utf-8", "replace"), known.encode())
