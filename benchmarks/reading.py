"""Reading beside lerobot 0.6.1, on the same frames, in one run.

    python benchmarks/reading.py [--venv FOLDER] [--episodes 4] [--steps 150]

Two cameras of 480x640, moving textures with the noise of a sensor, 30 Hz. Ours are written by
DatasetWriter, lerobot's by lerobot, in its default AV1 and in h264. Measured are

- a random frame, in CPU-ms of the whole process, over the same list of frames;
- training samples (two cameras at 96x96) per second of wall-clock: lerobot's DataLoader with 0 and
  2 workers and a resize, against our first epoch, building the cache included, and the second;
- that second epoch against a plain copy of the same bytes by one thread.

Readers take turns in `--rounds` rounds and the medians are compared. lerobot lives in an
environment of its own, which `benchmarks/lerobot_opens_ours.py` installs. This file runs in both.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

CAMERAS = ("front", "wrist")
HEIGHT, WIDTH, FPS, SMALL = 480, 640, 30, 96
BATCH_SIZE, HORIZON = 64, 16
NUM_RANDOM = 200


def frames(episode: int, camera: int, steps: int) -> Iterator[np.ndarray]:
    """Yields a texture that moves over a coarser one, with the noise of a sensor."""
    rng = np.random.default_rng([episode, camera])
    big = np.kron(rng.integers(40, 216, (40, 60, 3)), np.ones((32, 32, 1))).astype(np.int16)
    for step in range(steps):
        x, y = 2 * step % 640, step % 480
        noise = rng.integers(-3, 4, (HEIGHT, WIDTH, 3), dtype=np.int16)
        yield np.clip(big[y : y + HEIGHT, x : x + WIDTH] + noise, 0, 255).astype(np.uint8)


def write_ours(root: Path, episodes: int, steps: int) -> None:
    """Writes the dataset by demoloop."""
    from demoloop.datasets import DatasetWriter, Episode
    from demoloop.robot import CameraSpec, JointSpec, RobotSpec

    joints = tuple(JointSpec(f"joint_{n}", -3.0, 3.0, 3.0, 10.0) for n in range(6))
    cameras = tuple(CameraSpec(name, HEIGHT, WIDTH) for name in CAMERAS)
    spec = RobotSpec(name="bench", joints=joints, cameras=cameras, control_hz=float(FPS))
    with DatasetWriter(root, spec) as writer:
        for e in range(episodes):
            stamps = np.arange(steps) / FPS
            writer.add(
                Episode(
                    task="read",
                    time=stamps,
                    proprioception=np.zeros((steps, 12), np.float32),
                    actions=np.zeros((steps, 6), np.float32),
                    images={n: np.stack(list(frames(e, c, steps))) for c, n in enumerate(CAMERAS)},
                    image_times=dict.fromkeys(CAMERAS, stamps),
                )
            )


def write_theirs(root: Path, codec: str, episodes: int, steps: int) -> None:
    """Writes the dataset by lerobot, in its default codec or h264 as it offers it."""
    from lerobot.configs import RGBEncoderConfig
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    video = {
        "dtype": "video",
        "shape": (HEIGHT, WIDTH, 3),
        "names": ["height", "width", "channels"],
    }
    numbers = {"dtype": "float32", "shape": (6,), "names": [f"joint_{n}" for n in range(6)]}
    dataset = LeRobotDataset.create(
        "demoloop/bench",
        FPS,
        {"observation.state": numbers, "action": numbers}
        | {f"observation.images.{name}": video for name in CAMERAS},
        root=root,
        streaming_encoding=True,
        encoder_queue_maxsize=steps,  # a full queue loses frames
        rgb_encoder=RGBEncoderConfig() if codec == "av1" else RGBEncoderConfig(vcodec="h264"),
    )
    for e in range(episodes):
        for pictures in zip(*(frames(e, c, steps) for c in range(len(CAMERAS))), strict=True):
            row = {"observation.state": np.zeros(6, np.float32), "action": np.zeros(6, np.float32)}
            row |= {f"observation.images.{n}": p for n, p in zip(CAMERAS, pictures, strict=True)}
            dataset.add_frame(row | {"task": "read"})
        dataset.save_episode()
    dataset.finalize()


def lerobot_frames(root: Path, backend: str, picks: list[tuple[int, int]]) -> dict[str, float]:
    """Returns CPU-ms and wall-ms per random frame of one camera, by lerobot's own function."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset
    from lerobot.datasets.video_utils import decode_video_frames

    dataset = LeRobotDataset("demoloop/bench", root=root)
    key = f"observation.images.{CAMERAS[0]}"

    def read(episode: int, step: int) -> None:
        start = dataset.meta.episodes[episode][f"videos/{key}/from_timestamp"]
        path = dataset.root / dataset.meta.get_video_file_path(episode, key)
        decode_video_frames(path, [start + step / FPS], 1e-4, backend, return_uint8=True)

    return timed(read, picks)


def our_frames(root: Path, picks: list[tuple[int, int]]) -> dict[str, float]:
    """Returns CPU-ms and wall-ms per random frame of one camera."""
    from demoloop.datasets import open_dataset

    dataset = open_dataset(root)
    return timed(lambda episode, step: dataset.frame(episode, CAMERAS[0], step), picks)


def timed(read: Callable[[int, int], object], picks: list[tuple[int, int]]) -> dict[str, float]:
    """Reads once to open all files, then all picks."""
    for episode in {episode for episode, _ in picks}:
        read(episode, 0)
    cpu, wall = time.process_time(), time.perf_counter()
    for pick in picks:
        read(*pick)
    count = len(picks)
    return {
        "cpu_ms": 1000 * (time.process_time() - cpu) / count,
        "wall_ms": 1000 * (time.perf_counter() - wall) / count,
    }


def lerobot_epoch(root: Path, backend: str, workers: int, seconds: float) -> dict[str, float]:
    """Returns samples/s of a shuffled epoch of lerobot's DataLoader, or of `seconds` of it."""
    import torch
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    def shrink(image: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.interpolate(image[None].float(), (SMALL, SMALL), mode="area")[0]

    dataset = LeRobotDataset(
        "demoloop/bench",
        root=root,
        video_backend=backend,
        image_transforms=shrink,
        return_uint8=True,
        delta_timestamps={"action": [k / FPS for k in range(HORIZON)]},
    )
    loader = torch.utils.data.DataLoader(
        dataset, batch_size=BATCH_SIZE, shuffle=True, num_workers=workers
    )
    begin, count = time.perf_counter(), 0
    for batch in loader:
        count += len(batch["action"])
        if time.perf_counter() - begin > seconds:
            break
    return {"samples_per_s": count / (time.perf_counter() - begin)}


def our_epochs(root: Path) -> dict[str, float]:
    """Returns samples/s of the first epoch with the cache built, of later ones, and of memcpy."""
    from demoloop.datasets import WindowSampler, open_cache, open_dataset

    shutil.rmtree(root / ".cache", ignore_errors=True)
    begin, cpu = time.perf_counter(), time.process_time()
    cache = open_cache(open_dataset(root), (SMALL, SMALL), progress=False)
    built = time.process_time() - cpu
    steps = len(cache.rows)
    with WindowSampler(cache, HORIZON, BATCH_SIZE, seed=0) as batches:
        for _ in range(-(-steps // BATCH_SIZE)):
            next(batches)
        first = steps / (time.perf_counter() - begin)
    # In turns, and the best of each: the machine may be busy with something else meanwhile.
    later, memcpy = [], []
    for _ in range(5):
        with WindowSampler(cache, HORIZON, BATCH_SIZE, seed=0) as batches:
            begin, count = time.perf_counter(), 0
            while time.perf_counter() - begin < 0.5:
                count += len(next(batches).index)
            later.append(count / (time.perf_counter() - begin))
        memcpy.append(copy_speed([np.asarray(cache.images[camera]) for camera in CAMERAS]))
    return {
        "first_epoch": first,
        "later_epochs": max(later),
        "memcpy": max(memcpy),
        "build_cpu_ms_per_frame": 1000 * built / steps / len(CAMERAS),
    }


def copy_speed(images: list[np.ndarray], seconds: float = 0.5) -> float:
    """Returns samples/s of copying batches in order into fresh memory, by one thread."""
    begin, count = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        for start in range(0, len(images[0]), BATCH_SIZE):
            parts = [rows[start : start + BATCH_SIZE].copy() for rows in images]
            count += len(parts[0])
    return count / (time.perf_counter() - begin)


def work(job: dict[str, object]) -> dict[str, float]:
    """Does one job, in whichever environment has what it needs."""
    kind, root = str(job["kind"]), Path(str(job["root"]))
    if kind == "write_theirs":
        write_theirs(root, str(job["codec"]), int(str(job["episodes"])), int(str(job["steps"])))
        return {}
    if kind == "our_epochs":
        return our_epochs(root)
    if kind == "lerobot_epoch":
        return lerobot_epoch(root, str(job["backend"]), int(str(job["workers"])), 20.0)
    rng = np.random.default_rng(0)
    picks = [
        (int(rng.integers(int(str(job["episodes"])))), int(rng.integers(int(str(job["steps"])))))
        for _ in range(NUM_RANDOM)
    ]
    if kind == "our_frames":
        return our_frames(root, picks)
    return lerobot_frames(root, str(job["backend"]), picks)


def run(python: Path | str, folder: Path, job: dict[str, object]) -> dict[str, float]:
    """Does a job in a process of its own; nan where it fails."""
    offline = dict.fromkeys(("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"), "1")
    environment = {**os.environ, **offline, "HF_HOME": str(folder / "hf")}
    command = [python, Path(__file__).resolve(), "--job", json.dumps(job)]
    done = subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, check=False
    )
    results = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not results:
        print(f"{job} failed: {done.stderr[-1500:]}", file=sys.stderr)
        return {}
    found: dict[str, float] = json.loads(results[-1][7:])
    return found


def main() -> None:
    """Writes three datasets, lets the readers take turns, prints a line each and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(tempfile.gettempdir()) / "lerobot_venv"
    parser.add_argument("--venv", type=Path, default=default, help="where lerobot is")
    parser.add_argument("--episodes", type=int, default=4)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--job", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        print("RESULT " + json.dumps(work(json.loads(options.job))))
        return
    theirs = options.venv / "bin" / "python"
    size = {"episodes": options.episodes, "steps": options.steps}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_ours(folder / "ours", options.episodes, options.steps)
        for codec in ("av1", "h264"):
            root = str(folder / codec)
            run(theirs, folder, {"kind": "write_theirs", "root": root, "codec": codec, **size})
        jobs: dict[str, tuple[Path | str, dict[str, object]]] = {
            "frame ours": (sys.executable, {"kind": "our_frames", "root": str(folder / "ours")}),
            "epochs ours": (sys.executable, {"kind": "our_epochs", "root": str(folder / "ours")}),
        }
        for data in ("av1", "h264", "ours"):
            for backend in ("torchcodec", "pyav"):
                job: dict[str, object] = {"root": str(folder / data), "backend": backend}
                jobs[f"frame lerobot {data} {backend}"] = theirs, {**job, "kind": "lerobot_frames"}
        for data in ("av1", "h264"):
            for workers in (0, 2):
                job = {"root": str(folder / data), "backend": "torchcodec", "workers": workers}
                name = f"epoch lerobot {data} torchcodec {workers} workers"
                jobs[name] = theirs, {**job, "kind": "lerobot_epoch"}
        found: dict[str, list[dict[str, float]]] = {name: [] for name in jobs}
        for _ in range(options.rounds):
            for name, (python, job) in jobs.items():
                found[name].append(run(python, folder, {**job, **size}))
                print(f"{name}: {found[name][-1]}", flush=True)
    report({name: median(rounds) for name, rounds in found.items()})


def median(rounds: list[dict[str, float]]) -> dict[str, float]:
    """Returns the median of each number over the rounds."""
    names = {name for result in rounds for name in result}
    return {
        name: statistics.median([result[name] for result in rounds if name in result])
        for name in sorted(names)
    }


def report(found: dict[str, dict[str, float]]) -> None:
    """Prints what was found, and the ratios that the bars are about."""
    for name, values in found.items():
        rounded = {key: round(value, 2) for key, value in values.items()}
        print("RESULT " + json.dumps({"reader": name, **rounded}))
    ours, mine = found["frame ours"]["cpu_ms"], found["epochs ours"]
    ratios = {
        f"cpu of {name}": round(values["cpu_ms"] / ours, 2)
        for name, values in found.items()
        if name.startswith("frame lerobot") and "cpu_ms" in values
    }
    epochs = {
        name: values["samples_per_s"] for name, values in found.items() if "samples_per_s" in values
    }
    ratios |= {
        f"first epoch against {name}": round(mine["first_epoch"] / speed, 2)
        for name, speed in epochs.items()
    }
    ratios["later epochs against memcpy"] = round(mine["later_epochs"] / mine["memcpy"], 2)
    print("RATIOS " + json.dumps(ratios))


if __name__ == "__main__":
    main()
