"""`demoloop run --chaos`: a bad network in a process between the robot and the server."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demoloop.deploy.chaos import parse_chaos
from demoloop.deploy.errors import DeployError

READY = "ready"


@contextmanager
def through_chaos(
    text: str | None, seed: int, server: str, keys: Path | None, server_key: str | None
) -> Iterator[str]:
    """Yields where the server is to be found through a bad network; without one, where it is.

    Raises:
        DeployError: The text means no network, or what stands between cannot be started.
    """
    if text is None:
        yield server
        return
    parse_chaos(text)
    with tempfile.TemporaryDirectory(prefix="demoloop-") as folder:  # for this user alone
        bind = f"unix://{folder}/chaos.sock"
        words = [text, str(seed), bind, server]
        words += [str(it) for it in (keys, server_key) if it is not None]
        with _started(words):
            yield bind


@contextmanager
def _started(words: list[str]) -> Iterator[None]:
    command = [sys.executable, "-m", "demoloop.cli.chaos_process", *words]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    try:
        said = process.stdout.readline().strip()
        if said != READY:
            raise DeployError(said or "the process of the bad network died as it began")
        yield
    finally:
        process.stdin.close()
        print(process.stdout.read().strip())
        process.wait(10)
