"""How a verb that runs until it is told to stop hears that it is told."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """Within the block, Ctrl-C, SIGTERM and a terminal that went set the event."""
    stop = threading.Event()
    signals = [signal.SIGINT, signal.SIGTERM]
    # Under nohup, which has it ignored, a terminal may go.
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signals.append(signal.SIGHUP)
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in signals}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
