"""One owner of the robot at a time, and an e-stop that waits for nobody."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from types import TracebackType
from typing import Generic, TypeVar

Owned = TypeVar("Owned")

_PATIENCE_S = 5.0
"""No word to a robot takes so long. An owner that was interrupted (KeyboardInterrupt) in the one
instant between getting the lock and noting it never gives it back; closing must work even then."""


class Owner(Generic[Owned]):
    """`with owner as thing:` owns it within; an e-stop is served before and after, by the owner.

    Pressing sets a flag and tries to become the owner. Who succeeds serves it at once. Who does not
    leaves it to the present owner, who looks at the flag when done: no press is lost between, none
    waits, and a signal handler that interrupts the owner does not speak in the middle of its word.

    Args:
        thing: What is owned.
        serve: Does what an e-stop does, with the reason; called by the owner.
    """

    def __init__(self, thing: Owned, serve: Callable[[str], None]) -> None:
        self._thing, self._serve = thing, serve
        self._lock = Lock()  # not an RLock: a handler is the same thread, but not the same owner
        self._pressed: str | None = None

    @property
    def is_pressed(self) -> bool:
        """Whether an e-stop was pressed and not served yet."""
        return self._pressed is not None

    def press(self, reason: str) -> None:
        """Asks for an e-stop, from any thread or signal handler."""
        self._pressed = reason
        self._serve_if_free()

    def __enter__(self) -> Owned:
        """Waits until the robot is free."""
        if not self._lock.acquire(timeout=_PATIENCE_S):
            self._lock = Lock()
            self._lock.acquire()
        try:
            self._serve_press()
        except BaseException:
            self._lock.release()
            raise
        return self._thing

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Gives it back, and serves who pressed meanwhile."""
        self._lock.release()
        self._serve_if_free()

    def _serve_if_free(self) -> None:
        while self._pressed is not None and self._lock.acquire(blocking=False):
            try:
                self._serve_press()
            finally:
                self._lock.release()

    def _serve_press(self) -> None:
        reason, self._pressed = self._pressed, None
        if reason is not None:
            self._serve(reason)
