"""What `demoloop run` starts beside itself: `python -m demoloop.cli.run_io NOTES PICTURES`.

The two are descriptors of its lines to the guard. Table, log and metrics are here, since a write to
a terminal or a disk may take as long as it likes, and the guard may not wait.
"""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from demoloop.cli.live import Live
from demoloop.cli.traces import logged, measured, warned
from demoloop.deploy.events import EventLog
from demoloop.deploy.io_loop import IoLoop
from demoloop.deploy.io_process import SIGNALS
from demoloop.deploy.local_line import Line
from demoloop.deploy.metrics import Metric
from demoloop.deploy.note_line import NoteLine
from demoloop.deploy.notes import Event, FromGuard, Reader, Ready, Refused, Say, Setup, Status
from demoloop.deploy.vitals import status_metrics
from demoloop.robot import DemoloopError

_SETUP_WAIT_S = 10.0
_GUARD_DIED = "the guard's process has died; the arm is where it was sent last"


def main(descriptors: list[int]) -> int:
    """Runs until the guard ends; exit code 1 when it ended without a word."""
    # They are for the guard, which brings the arm to rest and then says that it is over; nor may
    # a terminal that stops its background keep this process from being heard.
    for number in (*SIGNALS, signal.SIGTTOU):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    sys.setswitchinterval(0.001)  # pictures that are encoded must not hold up what is passed on
    notes: NoteLine[FromGuard] = NoteLine(_socket(descriptors[0]), Reader(FromGuard))
    pictures = Line(_socket(descriptors[1]))
    notes.wait(_SETUP_WAIT_S)
    setup = next(iter(notes.receive()), None)
    if not isinstance(setup, Setup):
        return 1
    try:
        return 0 if _run(notes, pictures, setup) else 1
    except DemoloopError as error:
        notes.send(Refused(str(error)[:4000]))
        return 2
    finally:
        notes.close()


def _socket(descriptor: int) -> socket.socket:
    return socket.socket(fileno=descriptor)


def _run(notes: NoteLine[FromGuard], pictures: Line, setup: Setup) -> bool:
    """Returns whether the guard said that the run is over."""
    log: EventLog | None = None

    def take(note: Status | Say | Event) -> None:
        if isinstance(note, Say):
            (live.warn if note.is_warning else live.say)(note.text)
        elif isinstance(note, Event) and log is not None:
            log.take(note.time, note.wall, note.event, note.session, note.details)

    def metrics() -> Iterator[Metric]:
        if loop.status is not None:
            yield from status_metrics(loop.status)

    loop = IoLoop(notes, pictures, setup, take)
    live = Live(lambda: loop.status)
    with ExitStack() as stack:
        stack.enter_context(warned(live.warn))
        log = stack.enter_context(logged(None if setup.log is None else Path(setup.log), "run"))
        url = stack.enter_context(measured(setup.metrics, metrics))
        stack.enter_context(loop)
        lines = (*loop.lines, *([f"metrics: {url}"] if url else []))
        notes.send(Ready(loop.server, lines))
        stack.enter_context(live)
        is_over = loop.run()
        if not is_over:
            live.warn(_GUARD_DIED)
            if log is not None:
                log.note("fault", reason=_GUARD_DIED)
        return is_over


if __name__ == "__main__":
    sys.exit(main([int(word) for word in sys.argv[1:]]))
