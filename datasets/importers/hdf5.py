"""HDF5 files of others, read by a process of its own that may die of a damaged one."""

from __future__ import annotations

import json
import math
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from demoloop.datasets.errors import DatasetError
from demoloop.datasets.importers.found import (
    MAX_PICTURE_BYTES,
    MAX_WIDTH,
    check_picture_size,
    check_steps,
)
from demoloop.datasets.importers.pictures import decode, gather

PATIENCE = 10.0  # s without a sign of life; one answer or block takes milliseconds
MAX_NUMBERS = 1 << 30  # bytes of one array of numbers
# zlib cannot pack tighter; a file that declares more than this holds nothing but emptiness.
MAX_RATIO = 1100
BYTES = "bytes"  # what the worker calls an array of byte strings
MAGIC = b"\x89HDF\r\n\x1a\n"


class Hdf5Worker:
    """The process that reads; started when it is asked, and again when it has died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._heard = b""

    def ask(self, path: Path, **words: object) -> dict[str, Any]:
        """Returns the answer of the process; raises DatasetError that names `path`."""
        if self._process is None or self._process.poll() is not None:
            self._process, self._heard = _start(), b""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({**words, "path": str(path)}).encode() + b"\n")
            line = self._line(path)
            while not line.strip():  # it is alive
                line = self._line(path)
        except (BrokenPipeError, EOFError) as error:
            self.close()
            raise DatasetError(
                f"{path} crashes the HDF5 library: damaged, copy it again"
            ) from error
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise DatasetError(f"{path} cannot be read ({answer['error']}); copy it again")
        return answer

    def _line(self, path: Path) -> bytes:
        """Returns the next line; raises EOFError when the process has died."""
        assert self._process is not None and self._process.stdout is not None
        while b"\n" not in self._heard:
            if not select.select([self._process.stdout], [], [], PATIENCE)[0]:
                self.close()
                raise DatasetError(f"{path} keeps the HDF5 library busy for ever: damaged")
            if not (data := self._process.stdout.read(1 << 16)):
                raise EOFError
            self._heard += data
        line, self._heard = self._heard.split(b"\n", 1)
        return line

    def close(self) -> None:
        """Ends the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def _start() -> subprocess.Popen[bytes]:
    import h5py  # noqa: F401  # a missing package is said here, not in the process

    # -P: the files beside the script have names of packages, such as mcap.
    command = [sys.executable, "-P", str(Path(__file__).with_name("hdf5_worker.py"))]
    pipe = subprocess.PIPE
    # Unbuffered: what a buffer held, `select` would not see.
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, bufsize=0)


@cache
def worker() -> Hdf5Worker:
    """Returns the process that all importers share; it ends with this one, when its input does."""
    return Hdf5Worker()


@dataclass(frozen=True)
class Hdf5File:
    """What is in a file: its arrays and attributes by path, without a leading slash."""

    path: Path
    arrays: Mapping[str, tuple[tuple[int, ...], str]]  # name -> shape, dtype
    attributes: Mapping[str, Mapping[str, Any]]  # of groups and arrays; "/" is the file itself

    def shape(self, name: str) -> tuple[int, ...]:
        """Returns the shape of an array, steps first; raises DatasetError when it has none."""
        if name not in self.arrays or not self.arrays[name][0]:
            raise DatasetError(f"{self.path.name} has no array {name!r}")
        return self.arrays[name][0]

    def is_picture(self, name: str) -> bool:
        """Says whether an array may hold a picture a step, plain or compressed."""
        shape, dtype = self.arrays[name]
        if dtype == BYTES:
            return len(shape) == 1
        return dtype == "|u1" and (len(shape) == 2 or (len(shape) == 4 and shape[3] == 3))

    def is_compressed(self, name: str) -> bool:
        """Says whether an array of pictures holds PNG or JPEG."""
        shape, dtype = self.arrays[name]
        return dtype == BYTES or len(shape) == 2

    def numbers(self, name: str) -> NDArray[np.float32]:
        """Returns an array as (T, D) of what float32 can hold; see `wide`."""
        with np.errstate(over="ignore"):  # what it cannot hold becomes inf, and is refused
            return self.wide(name).astype(np.float32)

    def wide(self, name: str) -> NDArray[np.float64]:
        """Returns an array as (T, D); what is wider than two axes is laid out flat."""
        shape, dtype = self.shape(name), self.arrays[name][1]
        if dtype == BYTES or np.dtype(dtype).kind not in "fiub":
            raise DatasetError(f"{self.path.name}: {name} of {dtype} {shape} holds no numbers")
        self._check(name, shape)
        width = math.prod(shape[1:])
        if not 1 <= width <= MAX_WIDTH:
            raise DatasetError(f"{self.path.name}: {name} has {width} numbers a step")
        raw, _ = self._copy(name, MAX_NUMBERS)
        return np.frombuffer(raw, np.dtype(dtype)).reshape(shape[0], width).astype(np.float64)

    def picture_size(self, name: str) -> tuple[int, int]:
        """Returns (height, width) [px] of the pictures of an array."""
        shape = self._picture_shape(name)
        if not self.is_compressed(name):
            check_picture_size(f"{self.path.name}: {name}", shape[1], shape[2])
            return shape[1], shape[2]
        first = decode(self._compressed(name)[0], f"{self.path.name}: {name}")
        return first.shape[0], first.shape[1]

    def pictures(self, name: str, size: tuple[int, int]) -> NDArray[np.uint8]:
        """Returns the pictures of an array, (T, height, width, 3) as they are stored.

        Compressed ones come as RGB of what a decoder takes them for.
        """
        shape = self._picture_shape(name)
        what = f"{self.path.name}: {name}"
        self._check(name, shape)
        if self.is_compressed(name):
            coded = self._compressed(name)
            pictures = (decode(data, f"{what}, step {t}", size) for t, data in enumerate(coded))
            return gather(pictures, shape[0], size, what)
        if shape[1:] != (*size, 3):
            raise DatasetError(f"{what} is {shape}, the camera gives {size[0]}x{size[1]}")
        raw, _ = self._copy(name, math.prod(shape))
        return raw.reshape(shape)

    def _picture_shape(self, name: str) -> tuple[int, ...]:
        shape = self.shape(name)
        if not self.is_picture(name):
            raise DatasetError(f"{self.path.name}: {name} of {shape} holds no pictures")
        return shape

    def _compressed(self, name: str) -> list[bytes]:
        """Returns the compressed pictures of an array, one a step."""
        shape, dtype = self.shape(name), self.arrays[name][1]
        check_steps(f"{self.path.name}: {name}", shape[0])
        raw, sizes = self._copy(name, min(shape[0] * MAX_PICTURE_BYTES, 16 << 30))
        if dtype != BYTES:
            return [row.tobytes() for row in raw.reshape(shape)]
        ends = np.cumsum(sizes)
        return [raw[end - size : end].tobytes() for end, size in zip(ends, sizes, strict=True)]

    def _check(self, name: str, shape: tuple[int, ...]) -> None:
        """Raises DatasetError when an array declares more than its file can hold."""
        check_steps(f"{self.path.name}: {name}", shape[0])
        dtype = self.arrays[name][1]
        if dtype == BYTES:
            return
        declared = math.prod(shape) * np.dtype(dtype).itemsize
        if declared > MAX_RATIO * self.path.stat().st_size:
            raise DatasetError(
                f"{self.path.name}: {name} declares {declared} bytes, more than its file of "
                f"{self.path.stat().st_size} can hold"
            )

    def _copy(self, name: str, limit: int) -> tuple[NDArray[np.uint8], list[int]]:
        """Returns the raw bytes of an array, out of a file that has lost its name, and sizes."""
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "array"
            room = min(limit, shutil.disk_usage(folder).free)
            answer = worker().ask(self.path, do="copy", name=name, out=str(out), limit=room)
            if not out.stat().st_size:
                raise DatasetError(f"{self.path.name}: {name} is empty")
            return np.memmap(out, np.uint8, "r"), answer["sizes"]


def open_hdf5(path: Path) -> Hdf5File:
    """Looks through an HDF5 file; raises DatasetError when it is none, or damaged."""
    if not is_hdf5(path):
        raise DatasetError(f"{path} is no HDF5 file, or cut short at its start; copy it again")
    answer = worker().ask(path, do="tree")
    arrays = {name: (tuple(shape), dtype) for name, (shape, dtype) in answer["arrays"].items()}
    return Hdf5File(path, arrays, answer["attributes"])


def is_hdf5(path: Path) -> bool:
    """Says whether a file begins as HDF5 does."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False
