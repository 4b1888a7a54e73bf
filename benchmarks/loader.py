"""How many training samples per second the window sampler gives, and how close that is to memcpy.

    python benchmarks/loader.py [--steps 6000] [--size 96] [--seconds 3]

Two cameras, batches of 64, no network behind it. `memcpy_ratio` compares the bytes moved (one read
and one write each) with those of a plain copy of the same amount by one thread; both are the best
of 3 rounds, in turns.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from demoloop.datasets import TrainingCache, WindowSampler

HORIZON, BATCH_SIZE, EPISODE = 16, 64, 300


def make_cache(folder: Path, steps: int, size: int) -> TrainingCache:
    """A cache of random pictures in a file, as `open_cache` maps them."""
    rng = np.random.default_rng(0)
    images = {}
    for camera in ("front", "wrist"):
        path = folder / f"{camera}.u8"
        path.write_bytes(rng.bytes(steps * size * size * 3))
        images[camera] = np.memmap(path, np.uint8, "c", shape=(steps, size, size, 3))
    return TrainingCache(
        view_hash="none",
        images=images,
        rows=np.arange(steps),
        proprioception=rng.normal(size=(steps, 12)).astype(np.float32),
        actions=rng.normal(size=(steps, 6)).astype(np.float32),
        episode_starts=np.arange(0, steps + 1, EPISODE),
        success=np.ones(steps // EPISODE, np.int8),
        weights=np.ones(steps // EPISODE),
    )


def sampler_speed(cache: TrainingCache, seconds: float) -> float:
    """Returns samples per second of wall-clock."""
    with WindowSampler(cache, HORIZON, BATCH_SIZE, seed=0) as sampler:
        for _ in range(100):  # touch the pages
            next(sampler)
        start, count = time.perf_counter(), 0
        while time.perf_counter() - start < seconds:
            next(sampler)
            count += BATCH_SIZE
        return count / (time.perf_counter() - start)


def memcpy_speed(sample_bytes: int, seconds: float) -> float:
    """Returns how many samples' bytes per second a copy into fresh memory moves."""
    source = np.ones((64, BATCH_SIZE * sample_bytes), np.uint8)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        for part in source:
            part.copy()
        count += BATCH_SIZE * 64
    return count / (time.perf_counter() - start)


def main() -> None:
    """Prints one RESULT line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cache = make_cache(Path(folder), options.steps // EPISODE * EPISODE, options.size)
        sample_bytes = 2 * options.size**2 * 3
        loaders, copies = [], []
        for _ in range(3):
            loaders.append(sampler_speed(cache, options.seconds))
            copies.append(memcpy_speed(sample_bytes, options.seconds))
    loader, memcpy = max(loaders), max(copies)
    result = {
        "samples_per_s": round(loader),
        "memcpy_samples_per_s": round(memcpy),
        "memcpy_ratio": round(loader / memcpy, 2),
        "gigabytes_per_s": round(2 * loader * sample_bytes / 1e9, 2),
        "size": options.size,
        "threads": torch.get_num_threads(),
    }
    print("RESULT " + json.dumps(result))


if __name__ == "__main__":
    main()
