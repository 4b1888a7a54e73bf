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
import shutil
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


TRIMS = {0: (4, 40), 1: (7, 60)}  # the first begins with a key frame, the second between two
EXPORTED = ((1, "train"), (0, "val"))  # episode, split; the last one is dropped


def export_edited(root: Path, target: Path) -> None:
    """Trims, drops, relabels and splits, and exports what that leaves as plain v3.0."""
    from demoloop.datasets import open_dataset
    from demoloop.datasets.edits import edit_episodes
    from demoloop.datasets.exporters import export_dataset

    uuids = [episode.uuid for episode in open_dataset(root).episodes]
    edit_episodes(root, "trim", {uuids[e]: trim for e, trim in TRIMS.items()})
    edit_episodes(root, "relabel", {uuids[0]: "stack the cube"})
    edit_episodes(root, "split", {uuids[e]: split for e, split in EXPORTED})
    edit_episodes(root, "drop", {uuids[2]: None})
    export_dataset(root, target, "lerobot")


def read_exported(root: Path, backend: str) -> dict[str, object]:
    """Opens the export by lerobot and counts what is not as the edits left it."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    dataset = LeRobotDataset("demoloop/exported", root=root, video_backend=backend)
    expected = [(e, t) for e, _ in EXPORTED for t in range(*TRIMS[e])]
    wrong = {"picture": 0, "state": 0, "task": 0}
    for item, (e, t) in zip(dataset, expected, strict=True):
        for c, camera in enumerate(CAMERAS):
            image = item[f"observation.images.{camera}"].numpy().transpose(1, 2, 0)
            found = number(image, slice(4, 44), 1), number(image, slice(52, 92), 0)
            wrong["picture"] += found != (t, 2 * e + c)
        wrong["state"] += not np.array_equal(item["observation.state"].numpy(), state(e)[t])
        wrong["task"] += item["task"] != (TASKS[1] if e else "stack the cube")
    splits = (
        dataset.meta.info["splits"]
        if isinstance(dataset.meta.info, dict)
        else dataset.meta.info.splits
    )
    return {
        "exported": backend,
        "frames": len(dataset),
        "wrong": wrong,
        "splits": splits,
        "ok": not any(wrong.values()) and splits == {"train": "0:1", "val": "1:2"},
    }


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
    exported = root.parent / "exported"
    checks = [
        lambda: read(root, "pyav"),
        lambda: merge(root, root.parent / "merged"),
        lambda: read_exported(exported, "pyav"),
    ]
    try:
        import torchcodec.decoders  # noqa: F401

        checks.append(lambda: read(root, "torchcodec"))
        checks.append(lambda: read_exported(exported, "torchcodec"))
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
        shutil.copytree(Path(folder) / "ours", Path(folder) / "edited")
        export_edited(Path(folder) / "edited", Path(folder) / "exported")
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
