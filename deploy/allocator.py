"""glibc's memory, while a large file is parsed: what is freed goes back to the system at once.

Opening a policy of 62 MB, ONNX Runtime allocates each tensor two or three times and frees all but
one. By default glibc keeps what was freed, ever larger pieces the more it sees of them, and the
process stays near its peak. `demoloop serve` of 15.6 M parameters: 247 MB at the peak with glibc's
defaults and 207 so; 145 remain (benchmarks/onboard.py).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_TENSOR_BYTES = 128 << 10  # glibc's own first value: what is larger has pages of its own
# Where glibc arrives by itself in a process that has freed much. Pictures are smaller, so a loop
# that allocates one at each step does not ask the system for pages each time.
_USUAL_BYTES = 32 << 20


@contextmanager
def gives_back() -> Iterator[None]:
    """Within the block, and of all threads; does nothing where the C library is another."""
    libc = ctypes.CDLL(None) if os.name == "posix" else None
    if libc is None or not hasattr(libc, "malloc_trim") or not hasattr(libc, "mallopt"):
        yield
        return
    libc.mallopt(_M_MMAP_THRESHOLD, _TENSOR_BYTES)
    try:
        yield
    finally:
        libc.mallopt(_M_MMAP_THRESHOLD, _USUAL_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, 2 * _USUAL_BYTES)
        libc.malloc_trim(ctypes.c_size_t(0))
