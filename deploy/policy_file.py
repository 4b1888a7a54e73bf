"""A policy file, read once: the bytes that are checked are the bytes that are run.

On Linux they are in memory that the kernel seals against every change, under a name that ONNX
Runtime can read, so a file that somebody replaces between the checks and the session changes
nothing. They leave as soon as the session is there; a session made from bytes would keep them
(62 MB of 15 M parameters), and parse a second copy.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from demoloop.deploy.allocator import gives_back
from demoloop.deploy.errors import PolicyError

if sys.platform == "linux":
    import fcntl

MAX_FILE_BYTES = 512 << 20  # an ACT of 15 M parameters has 60 MB
_PIECE_BYTES = 1 << 20


@dataclass(frozen=True)
class PolicyFile:
    """The content of a policy file, for as long as the block lasts that opened it."""

    source: str | bytes  # for ONNX Runtime: a path to read it from, or all of it

    @contextlib.contextmanager
    def looked_at(self) -> Iterator[memoryview]:
        """Yields the bytes, and lets go of them before a session needs the room."""
        if isinstance(self.source, bytes):
            yield memoryview(self.source)
            return
        with open(self.source, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size == 0:  # there is no mapping of nothing
                yield memoryview(b"")
                return
            mapped = mmap.mmap(file.fileno(), size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
        view = memoryview(mapped)
        try:
            yield view
        finally:
            # A traceback may still hold a part of it, which then goes with the traceback.
            with contextlib.suppress(BufferError):
                view.release()
                mapped.close()


@contextlib.contextmanager
def opened(path: Path) -> Iterator[PolicyFile]:
    """Reads a policy file.

    Raises:
        PolicyError: There is none, it is no ordinary file, or larger than any policy.
    """
    path = Path(path)
    try:
        # Without waiting: a named pipe would let nobody pass before somebody writes into it.
        flags = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        descriptor = os.open(path, os.O_RDONLY | flags)
    except OSError as error:
        raise _unreadable(path, error) from error
    try:
        _check_kind(path, os.fstat(descriptor))
        pieces = _pieces(descriptor, path)
        if sys.platform == "linux":
            with gives_back(), _sealed_memory(pieces) as source:
                yield PolicyFile(source)
        else:
            yield PolicyFile(b"".join(pieces))
    finally:
        os.close(descriptor)


def _check_kind(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "no ordinary file"
        raise PolicyError(f"{path} is {kind}; name the file that `demoloop export` wrote")
    if found.st_size > MAX_FILE_BYTES:
        raise PolicyError(
            f"{path} has {found.st_size} bytes, a policy has at most {MAX_FILE_BYTES}; "
            "name the file that `demoloop export` wrote"
        )


def _pieces(descriptor: int, path: Path) -> Iterator[bytes]:
    left = MAX_FILE_BYTES  # also of a file that grows meanwhile
    while left > 0:
        try:
            piece = os.read(descriptor, min(_PIECE_BYTES, left))
        except OSError as error:
            raise _unreadable(path, error) from error
        if not piece:
            return
        left -= len(piece)
        yield piece


@contextlib.contextmanager
def _sealed_memory(pieces: Iterator[bytes]) -> Iterator[str]:
    """Yields a path to the pieces, which nobody can change any more."""
    descriptor = os.memfd_create("policy", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with os.fdopen(descriptor, "wb", buffering=0) as memory:
        for piece in pieces:
            memory.write(piece)
        seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
        yield f"/proc/self/fd/{descriptor}"


def _unreadable(path: Path, error: OSError) -> PolicyError:
    return PolicyError(
        f"cannot read the policy {path}: {error.strerror}; `demoloop export` writes one"
    )
