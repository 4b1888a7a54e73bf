"""Processes that simulate side by side."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context


def worker_pool(workers: int) -> ProcessPoolExecutor:
    """Returns a pool of so many processes, each begun afresh: renderers do not survive a fork."""
    return ProcessPoolExecutor(workers, get_context("spawn"), initializer=_prepare)


def _prepare() -> None:
    os.environ["LP_NUM_THREADS"] = "1"  # the software renderer's; processes share the cores
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent to answer
