"""Does lerobot itself read what demoloop writes? Every frame, not a sample.

    python benchmarks/lerobot_opens_ours.py [--venv FOLDER]

Writes a small dataset in which every picture carries its own number, episode and camera as bars,
installs lerobot 0.6.1 in a Python 3.12 environment of its own (about 5 GB; used again when it is
there), and opens the dataset with lerobot's readers there. Prints one RESULT line per reader. This
file runs in both environments: what needs demoloop or lerobot is imported where it is used.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

LEROBOT = "lerobot[core_scripts,training,async,feetech]==0.6.1"
CAMERAS = ("front", "wrist")
LENGTHS = (45, 60, 30)
SESSIONS = ((0, 1), (2,))  # the last episode is appended by a second writer
TASKS = ("pick the cube", "place the cube", "pick the cube")
SUCCESSES = (True, False, None)


def picture(frame: int, code: int) -> np.ndarray:
    """(96, 96, 3): 12 bars of 8 px, white in the upper half for `frame`, red below for `code`."""
    image = np.full((96, 96, 3), 30, np.uint8)
    bits = np.arange(12)
    image[:48, np.repeat((frame >> bits) & 1, 8) == 1] = 255
    image[48:, np.repeat((code >> bits) & 1, 8) == 1] = (255, 60, 60)
    return image


def number(image: np.ndarray, rows: slice, channel: int) -> int:
    """Reads bars back from a (96, 96, 3) picture in [0, 1]."""
    levels = image[rows, :, channel].reshape(-1, 12, 8).mean(axis=(0, 2))
    return int(((levels > 0.5) << np.arange(12)).sum())


def state(episode: int) -> np.ndarray:
    """(T, 12) float32, different at every step."""
    steps = np.arange(LENGTHS[episode])[:, None]
    return np.sin(np.arange(12) + 0.1 * steps + episode).astype(np.float32)


def write(root: Path) -> None:
    """Writes the dataset by demoloop, in two sessions."""
    from demoloop.datasets import DatasetWriter, Episode
    from demoloop.robot.arms.so101 import SO101

    for session in SESSIONS:
        with DatasetWriter(root, SO101) as writer:
            for e in session:
                steps = LENGTHS[e]
                time = 1000 + np.arange(steps) / SO101.control_hz
                images = {
                    camera: np.stack([picture(t, 2 * e + c) for t in range(steps)])
                    for c, camera in enumerate(CAMERAS)
                }
                writer.add(
                    Episode(
                        task=TASKS[e],
                        time=time,
                        proprioception=state(e),
                        actions=state(e)[:, :6] + np.float32(0.01),
                        images=images,
                        image_times={camera: time for camera in CAMERAS},
                        success=SUCCESSES[e],
                        seed=e,
                    )
                )


def read(root: Path, backend: str) -> dict[str, object]:
    """Opens the dataset by lerobot and counts what is not as it was written."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset
    from torch.utils.data import DataLoader

    dataset = LeRobotDataset("demoloop/test", root=root, video_backend=backend)
    wrong = {"picture": 0, "state": 0, "action": 0, "task": 0, "capture_time": 0}
    expected = [(e, t) for e, steps in enumerate(LENGTHS) for t in range(steps)]
    for item, (e, t) in zip(dataset, expected, strict=True):
        for c, camera in enumerate(CAMERAS):
            image = item[f"observation.images.{camera}"].numpy().transpose(1, 2, 0)
            found = number(image, slice(4, 44), 1), number(image, slice(52, 92), 0)
            wrong["picture"] += found != (t, 2 * e + c)
        wrong["state"] += not np.array_equal(item["observation.state"].numpy(), state(e)[t])
        action = state(e)[t, :6] + np.float32(0.01)
        wrong["action"] += not np.array_equal(item["action"].numpy(), action)
        wrong["task"] += item["task"] != TASKS[e]
        capture_time = float(item["demoloop.time"])
        wrong["capture_time"] += abs(capture_time - 1000 - t / dataset.fps) > 1e-3  # float32
    windows = LeRobotDataset(
        "demoloop/test",
        root=root,
        video_backend=backend,
        delta_timestamps={"action": [k / dataset.fps for k in range(8)]},
    )
    batch = next(iter(DataLoader(windows, batch_size=len(windows))))
    pads = sum(sum(max(0, t + 8 - steps) for t in range(steps)) for steps in LENGTHS)
    return {
        "backend": backend,
        "episodes": dataset.num_episodes,
        "frames": len(dataset),
        "wrong": wrong,
        "padding_agrees": int(batch["action_is_pad"].sum()) == pads,
        "stats": sorted(dataset.meta.stats),
        "episode_columns_ours": [c for c in dataset.meta.episodes.column_names if "demoloop" in c],
        "ok": not any(wrong.values()) and len(dataset) == sum(LENGTHS),
    }


def merge(root: Path, target: Path) -> dict[str, object]:
    """Merges the dataset with itself by lerobot's own tool."""
    from lerobot.datasets.aggregate import aggregate_datasets
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    aggregate_datasets(
        ["demoloop/a", "demoloop/b"], "demoloop/ab", roots=[root, root], aggr_root=target
    )
    merged = LeRobotDataset("demoloop/ab", root=target, video_backend="pyav")
    last = merged[len(merged) - 1]["observation.images.wrist"].numpy().transpose(1, 2, 0)
    is_last = number(last, slice(4, 44), 1) == LENGTHS[-1] - 1
    whole = (merged.num_episodes, len(merged)) == (2 * len(LENGTHS), 2 * sum(LENGTHS))
    return {"merged_episodes": merged.num_episodes, "ok": is_last and whole}


def inside(root: Path) -> None:
    """What runs in lerobot's environment."""
    checks = [lambda: read(root, "pyav"), lambda: merge(root, root.parent / "merged")]
    try:
        import torchcodec.decoders  # noqa: F401

        checks.append(lambda: read(root, "torchcodec"))
    except (ImportError, OSError, RuntimeError) as error:
        print(f"torchcodec does not import here: {str(error).splitlines()[0]}")
    for check in checks:
        try:
            result = check()
        except Exception as error:  # one reader must not hide what the others find
            result = {"ok": False, "error": f"{type(error).__name__}: {error}"[:300]}
        print("RESULT " + json.dumps(result), flush=True)


def install(venv: Path) -> Path:
    """Returns the Python of an environment with lerobot, made now if it is not there."""
    python = venv / "bin" / "python"
    if not (venv / "bin" / "lerobot-train").exists():
        subprocess.run(["python3.12", "-m", "venv", venv], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", LEROBOT], check=True)
    return python


def main() -> None:
    """Writes, installs, reads."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(tempfile.gettempdir()) / "lerobot_venv"
    parser.add_argument("--venv", type=Path, default=default, help="where lerobot is or goes")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside is not None:
        inside(options.inside)
        return
    python = install(options.venv)
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "ours")
        offline = dict.fromkeys(
            ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"), "1"
        )
        environment = {**os.environ, **offline, "HF_HOME": str(Path(folder) / "hf")}
        command = [python, __file__, "--inside", Path(folder) / "ours"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    print("\n".join(line for line in lines if line.startswith(("RESULT", "torchcodec"))))
    results = [json.loads(line[7:]) for line in lines if line.startswith("RESULT")]
    if done.returncode or not results or not all(result["ok"] for result in results):
        sys.exit(done.stderr[-3000:] or "lerobot does not read what was written")


if __name__ == "__main__":
    main()
