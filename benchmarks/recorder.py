"""Recording in real time, beside lerobot: `python benchmarks/recorder.py [--venv FOLDER]`.

The same pictures, 480x640 of two cameras at 60 Hz, noisy as a camera's, go through demoloop's
recorder and through lerobot 0.6.1 with streaming encoding (h264 as it comes, h264 ultrafast, and
its default), in turn, each in a process of its own. lerobot encodes with crf 30, demoloop with
20, which is finer. CPU is that of the whole process, less what the same loop takes
that records nothing. Prints one line per run, then ratios of the medians.

This file runs in both environments: what needs demoloop or lerobot is imported where it is used.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

HEIGHT, WIDTH, HZ = 480, 640, 60
CAMERAS = ("front", "wrist")
JOINTS = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")
PICTURES = 60  # shown again and again: a second of motion
CPU_BAR, RATIO_BAR, COMMIT_BAR_S, COMMIT_RATIO_BAR = 0.35, 2.5, 0.15, 5.0


def pictures() -> list[np.ndarray]:
    """A textured scene in which two blocks move, with the noise of a sensor (sigma 2)."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH] / WIDTH
    checks = ((x * 8).astype(int) + (y * 8).astype(int)) % 2 * 40.0
    scene = np.stack([110 + 60 * x + checks, 90 + 60 * y + checks, 120 + 40 * x + checks], axis=-1)
    frames = []
    for t in range(PICTURES):
        frame = scene + rng.normal(0, 2, scene.shape)
        angle = 2 * np.pi * t / PICTURES
        for n, colour in enumerate([(220, 40, 40), (40, 60, 220)]):
            left = int(280 + 200 * np.sin(angle + n))
            top = int(200 + 150 * np.cos(angle + 2 * n))
            frame[top : top + 80, left : left + 80] = colour
        frames.append(np.clip(frame, 0, 255).astype(np.uint8))
    return frames


class Nothing:
    """The loop alone."""

    def begin(self) -> None:
        """Begins an episode."""

    def step(self, t: int, images: dict[str, np.ndarray]) -> None:
        """Takes in one step."""

    def commit(self) -> None:
        """Ends the episode and keeps it."""

    def close(self) -> dict[str, object]:
        """Ends the session; returns what is known of it."""
        return {}


class Demoloop(Nothing):
    """Our recorder."""

    def __init__(self, root: Path) -> None:
        from demoloop.datasets import DatasetWriter
        from demoloop.robot import CameraSpec, JointSpec, RobotSpec

        joints = tuple(JointSpec(name, -3.2, 3.2, 5.0, 40.0) for name in JOINTS)
        cameras = tuple(CameraSpec(name, HEIGHT, WIDTH) for name in CAMERAS)
        self.root = root
        self.writer = DatasetWriter(root, RobotSpec("bench", joints, cameras, float(HZ)))
        self.writer.__enter__()
        self.drops = 0

    def begin(self) -> None:
        """Begins an episode."""
        from demoloop.datasets import EpisodeRecorder

        self.recorder = EpisodeRecorder(self.root, task="bench")
        self.recorder.__enter__()

    def step(self, t: int, images: dict[str, np.ndarray]) -> None:
        """Takes in one step."""
        from demoloop.robot import Observation

        now = time.monotonic()
        seen = np.full(2 * len(JOINTS), np.sin(0.05 * t), np.float32)
        times = dict.fromkeys(images, now)
        self.recorder(Observation(now, seen, images, times), seen[: len(JOINTS)])

    def commit(self) -> None:
        """Ends the episode and keeps it."""
        staged = self.recorder.finish(success=True)
        self.drops += sum(staged.drops.values())
        self.writer.commit(staged)
        self.recorder.__exit__(None, None, None)

    def close(self) -> dict[str, object]:
        """Ends the session; returns what is known of it."""
        self.writer.__exit__(None, None, None)
        return {"dropped": self.drops}


class LeRobot(Nothing):
    """lerobot's own recorder."""

    def __init__(self, root: Path, **encoder: str) -> None:
        from lerobot.configs import RGBEncoderConfig
        from lerobot.datasets.lerobot_dataset import LeRobotDataset

        def numbers() -> dict[str, object]:
            names = [f"{joint}.pos" for joint in JOINTS]
            return {"dtype": "float32", "shape": (len(JOINTS),), "names": names}

        shape = {"shape": (HEIGHT, WIDTH, 3), "names": ["height", "width", "channels"]}
        self.dataset = LeRobotDataset.create(
            "bench/rec",
            HZ,
            {
                "observation.state": numbers(),
                "action": numbers(),
                **{f"observation.images.{c}": {"dtype": "video", **shape} for c in CAMERAS},
            },
            root=root,
            use_videos=True,
            streaming_encoding=True,
            rgb_encoder=RGBEncoderConfig(**encoder),
        )

    def step(self, t: int, images: dict[str, np.ndarray]) -> None:
        """Takes in one step."""
        seen = np.full(len(JOINTS), np.sin(0.05 * t), np.float32)
        frame = {f"observation.images.{camera}": image for camera, image in images.items()}
        self.dataset.add_frame(
            {"observation.state": seen, "action": seen, "task": "bench", **frame}
        )

    def commit(self) -> None:
        """Ends the episode and keeps it."""
        self.dataset.save_episode()

    def close(self) -> dict[str, object]:
        """Ends the session; returns what is known of it."""
        self.dataset.finalize()
        return {}


RECORDERS: dict[str, Callable[[Path], Nothing]] = {
    "nothing": lambda root: Nothing(),
    "demoloop": Demoloop,
    "lerobot h264": lambda root: LeRobot(root, vcodec="h264"),
    "lerobot h264 ultrafast": lambda root: LeRobot(root, vcodec="h264", preset="ultrafast"),
    "lerobot av1 (default)": lambda root: LeRobot(root),
}


def run(name: str, root: Path, episodes: int, seconds: float) -> dict[str, object]:
    """Records in this process and returns what it took."""
    shown = pictures()
    recorder = RECORDERS[name](root)
    steps = round(seconds * HZ)
    late, worst, commits, cpu, wall, calls = 0, 0.0, [], 0.0, 0.0, []
    for _ in range(episodes):
        recorder.begin()
        start, used = time.monotonic(), time.process_time()
        for t in range(steps):
            deadline = start + t / HZ
            time.sleep(max(0.0, deadline - time.monotonic()))
            began = time.monotonic()
            if t and began - deadline > 0.5 / HZ:
                late += 1
            worst = max(worst, began - deadline)
            # Copied, as pictures come from a camera anew: the same in every run.
            images = {
                camera: shown[(t + 7 * c) % PICTURES].copy() for c, camera in enumerate(CAMERAS)
            }
            began = time.monotonic()
            recorder.step(t, images)
            calls.append(time.monotonic() - began)
        wall += time.monotonic() - start
        began = time.monotonic()
        recorder.commit()
        commits.append(time.monotonic() - began)
        cpu += time.process_time() - used
    return {
        "recorder": name,
        "cores": cpu / wall,
        "hz": episodes * steps / wall,
        "late": late,
        "worst_late_ms": 1e3 * worst,
        "call_p99_ms": 1e3 * float(np.percentile(calls, 99)),
        "commit_p50_s": float(np.percentile(commits, 50)),
        "commit_p95_s": float(np.percentile(commits, 95)),
        **recorder.close(),
        "mb": sum(p.stat().st_size for p in root.rglob("*.mp4")) / 1e6,
    }


def main() -> None:
    """Runs each recorder in turn, `--rounds` times."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(tempfile.gettempdir()) / "lerobot_venv"
    parser.add_argument("--venv", type=Path, default=default, help="where lerobot is")
    parser.add_argument("--episodes", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each episode")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / "dataset"
            result = run(options.inside, root, options.episodes, options.seconds)
        print("RESULT " + json.dumps(result), flush=True)
        return
    results: dict[str, list[dict[str, float]]] = {name: [] for name in RECORDERS}
    for _ in range(options.rounds):
        for name in RECORDERS:
            python = options.venv / "bin/python" if "lerobot" in name else sys.executable
            if not Path(python).exists():
                print(f"{name}: {python} is missing; see benchmarks/lerobot_opens_ours.py")
                continue
            results[name].append(measure(Path(python), name, options))
    alone = median(r["cores"] for r in results["nothing"])
    ours = results["demoloop"]
    cores = median(r["cores"] for r in ours) - alone
    print(f"demoloop: {cores:.2f} core beside the loop's {alone:.2f} (bar {CPU_BAR})")
    commit = median(r["commit_p95_s"] for r in ours)
    print(f"demoloop: commit p95 {commit:.3f} s (bar {COMMIT_BAR_S})")
    for name in RECORDERS:
        if "lerobot" in name and results[name]:
            theirs = median(r["cores"] for r in results[name]) - alone
            saved = median(r["commit_p95_s"] for r in results[name])
            print(
                f"{name}: {theirs:.2f} core, {theirs / cores:.1f} times ours (bar {RATIO_BAR}); "
                f"save p95 {saved:.3f} s, {saved / commit:.1f} times ours (bar {COMMIT_RATIO_BAR})"
            )


def measure(python: Path, name: str, options: argparse.Namespace) -> dict[str, float]:
    """Runs one recorder in a process of its own."""
    offline = dict.fromkeys(
        ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"), "1"
    )
    command = [str(python), __file__, "--inside", name, "--episodes", str(options.episodes)]
    command += ["--seconds", str(options.seconds)]
    done = subprocess.run(command, env={**os.environ, **offline}, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        sys.exit(f"{name} failed: {done.stderr[-2000:]}")
    print(lines[0], flush=True)
    result: dict[str, float] = json.loads(lines[0].removeprefix("RESULT "))
    return result


if __name__ == "__main__":
    main()
