"""Two ends of a line, and children that end with their test."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.deploy.local.peers import (
    end,
)

from demoloop.deploy.local import LocalListener
from demoloop.deploy.local_line import Line


@pytest.fixture
def endpoint(tmp_path: Path) -> str:
    return f"unix://{tmp_path}/s.sock"


@pytest.fixture
def listener(endpoint: str) -> Iterator[LocalListener]:
    listening = LocalListener(endpoint)
    yield listening
    listening.close()


@pytest.fixture
def raw(listener: LocalListener) -> Iterator[socket.socket]:
    """A peer that sends what it likes."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as peer:
        peer.connect(listener.endpoint.removeprefix("unix://"))
        peer.settimeout(10.0)
        yield peer


@pytest.fixture
def pair() -> Iterator[tuple[Line, Line]]:
    lines = [Line(end) for end in socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)]
    yield lines[0], lines[1]
    for line in lines:
        line.close()


@pytest.fixture
def fork() -> Iterator[Callable[[Callable[[], object]], int]]:
    """Runs a function in a child process that is killed at the latest with the test."""
    children: list[int] = []

    def start(run: Callable[[], object]) -> int:
        child = os.fork()
        if child == 0:
            try:
                os._exit(0 if run() else 1)
            finally:
                os._exit(2)  # never back into the tests
        children.append(child)
        return child

    yield start
    for child in children:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            end(child)
