"""Editing 1,000 episodes, beside lerobot: `python benchmarks/edits.py [--episodes N]`.

A dataset (10 steps, two cameras of 96x96, a data file and two videos per episode) is opened,
trimmed, relabelled, judged, weighed, split, merged and set back by demoloop: best and median of 5,
the opening of the dataset included. lerobot 0.6.1's own dataset tools do what they have the like
of, once, on a copy, in a process of their own, without the opening, which is a row of its own.
The bar is on the operations; the row of the command holds the start of Python and its imports too.
Prints a line per operation, then what became of the videos.

This file runs in both environments: what needs demoloop or lerobot is imported where it is used.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

STEPS, ROUNDS, BAR_S = 10, 5, 1.0
COMMAND = "trim all, the command"
LEROBOT_HAS_NOT = {
    "trim 1": "no trim",
    "trim all": "no trim",
    "success all": "no such edit",
    "weigh all": "no such edit",
    "tag all": "no such edit",
    "undo": "no undo: the tools write a new dataset, or change this one for good",
}


def make(root: Path, count: int, name: str) -> None:
    """Records one episode and multiplies it: files of its own for each, indices as if recorded."""
    from dataclasses import replace

    import pyarrow as pa
    import pyarrow.parquet as pq

    from demoloop.datasets import DatasetWriter, Episode
    from demoloop.datasets import lerobot_layout as layout
    from demoloop.datasets.journal import append_entry, read_journal
    from demoloop.robot.arms.so101 import SO101

    rng = np.random.default_rng(0)
    time_s = np.arange(STEPS) / SO101.control_hz
    cameras = SO101.cameras
    picture = rng.integers(0, 256, (STEPS, 12, 12, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
    episode = Episode(
        task="pick the cube",
        time=time_s,
        proprioception=rng.normal(size=(STEPS, 12)).astype(np.float32),
        actions=rng.normal(size=(STEPS, 6)).astype(np.float32),
        images={c.name: picture[:, : c.height, : c.width] for c in cameras},
        image_times={c.name: time_s for c in cameras},
    )
    with DatasetWriter(root, SO101) as writer:
        writer.add(episode)
    (first,) = read_journal(root)
    rows = pq.read_table(layout.data_file(root, 0))
    for number in range(1, count):
        table = rows
        for column, shift in (("episode_index", number), ("index", number * STEPS)):
            values = pa.array(rows[column].to_numpy() + shift)
            table = table.set_column(table.column_names.index(column), column, values)
        pq.write_table(table, layout.data_file(root, number))
        for camera in SO101.camera_names:
            source = layout.video_file(root, camera, 0)
            shutil.copyfile(source, layout.video_file(root, camera, number))
        uuid = hashlib.sha256(f"{name} {number}".encode()).hexdigest()
        append_entry(root, replace(first, index=number, uuid=uuid[:32], sha256=uuid))
    with DatasetWriter(root, SO101):  # makes LeRobot's indices from the journal
        pass


def timed(act: Callable[[], object]) -> float:
    """Returns how long it takes, s."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def ours(root: Path, halves: list[Path], folder: Path) -> dict[str, list[float]]:
    """Returns the seconds of each round of each operation."""
    from demoloop.datasets import open_dataset
    from demoloop.datasets.edits import Op, Value, edit_episodes, undo_edit
    from demoloop.datasets.splits import draw_splits
    from demoloop.datasets.view import merge

    uuids = [episode.uuid for episode in open_dataset(root).episodes]
    found: dict[str, list[float]] = {}

    def measure(what: str, act: Callable[[int], object]) -> None:
        act(-1)  # once for the imports and the page cache
        found[what] = [timed(lambda: act(number)) for number in range(ROUNDS)]  # noqa: B023

    def set_all(op: Op, value: Value) -> Callable[[int], object]:
        return lambda _: edit_episodes(root, op, dict.fromkeys(uuids, value))

    measure("open", lambda _: open_dataset(root))
    measure("open, view hash", lambda _: open_dataset(root).view_hash())
    measure("trim 1", lambda n: edit_episodes(root, "trim", {uuids[n]: (2, 8)}))
    measure("trim all", set_all("trim", (2, 8)))
    measure("relabel all", set_all("relabel", "push the cube"))
    measure("success all", set_all("success", True))
    measure("weigh all", set_all("weigh", 0.5))
    measure("tag all", set_all("tag", "seen"))
    shares = {"val": 0.1}
    measure("split", lambda n: edit_episodes(root, "split", {**draw_splits(uuids, shares, n + 1)}))
    measure("drop 1", lambda n: edit_episodes(root, "drop", {uuids[n]: None}))
    measure("open, edited", lambda _: open_dataset(root).view_hash())
    measure("undo", lambda _: undo_edit(root))
    measure("merge", lambda n: merge(halves, folder / f"merged{n}"))
    measure("open merged", lambda _: open_dataset(folder / "merged0").view_hash())
    command = [sys.executable, "-m", "demoloop", "dataset", "trim", root, "all", "--stop", "9"]
    measure(COMMAND, lambda _: subprocess.run(command, capture_output=True))
    return found


def theirs(root: Path, halves: list[Path], folder: Path, what: str) -> float:
    """Returns the seconds of one operation of lerobot's tools."""
    from lerobot.datasets.dataset_tools import (
        delete_episodes,
        merge_datasets,
        modify_tasks,
        split_dataset,
    )
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    def opened(path: Path) -> LeRobotDataset:
        return LeRobotDataset(f"bench/{path.name}", root=path, video_backend="pyav")

    if what == "open":
        opened(halves[0])  # once for the imports
        return timed(lambda: opened(root))
    if what == "merge":
        both = [opened(half) for half in halves]
        return timed(lambda: merge_datasets(both, "bench/merged", folder / "merged"))
    dataset = opened(root)
    acts: dict[str, Callable[[], object]] = {
        "relabel all": lambda: modify_tasks(dataset, new_task="push the cube"),
        "drop 1": lambda: delete_episodes(dataset, [3], folder / "dropped", "bench/dropped"),
        "split": lambda: split_dataset(dataset, {"train": 0.9, "val": 0.1}, folder / "split"),
    }
    return timed(acts[what])


def videos_of(root: Path) -> dict[str, tuple[int, int, str]]:
    """Returns time of change, size and hash of every video."""
    found = {}
    for path in sorted(root.rglob("*.mp4")):
        stat, digest = path.stat(), hashlib.sha256(path.read_bytes()).hexdigest()
        found[str(path)] = (stat.st_mtime_ns, stat.st_size, digest)
    return found


def run_lerobot(venv: Path, folder: Path, what: str, timeout_s: float) -> str:
    """Returns what lerobot took, in words, on copies that are thrown away."""
    copies = folder / "copies"
    shutil.rmtree(copies, ignore_errors=True)
    copies.mkdir()
    roots = [shutil.copytree(folder / name, copies / name) for name in ("all", "one", "two")]
    offline = dict.fromkeys(("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"), "1")
    environment = {**os.environ, **offline, "HF_HOME": str(copies / "hf")}
    command = [venv / "bin/python", __file__, "--inside", what, *roots]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=timeout_s
        )
    except subprocess.TimeoutExpired:
        return f"stopped after {timeout_s:.0f} s"
    lines = [line[7:] for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    return f"{float(lines[0]):.2f} s" if lines else f"failed: {done.stderr.strip()[-200:]}"


def main() -> None:
    """Makes the datasets, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(tempfile.gettempdir()) / "lerobot_venv"
    parser.add_argument("--episodes", type=int, default=1000)
    parser.add_argument("--venv", type=Path, default=default, help="where lerobot is")
    parser.add_argument("--timeout", type=float, default=600, help="s for one of lerobot's")
    parser.add_argument("--inside", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside is not None:
        root, *halves = map(Path, options.inside[1:])
        seconds = theirs(root, halves, root.parent, options.inside[0])
        print(f"RESULT {seconds}", flush=True)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part, share in (("all", 1), ("one", 2), ("two", 2)):
            make(folder / part, options.episodes // share, part)
        shutil.copytree(folder / "all", folder / "ours")
        before = videos_of(folder / "ours")
        found = ours(folder / "ours", [folder / "one", folder / "two"], folder)
        is_same = videos_of(folder / "ours") == before
        for what, rounds in found.items():
            said = LEROBOT_HAS_NOT.get(what, "")
            if what in ("open", "relabel all", "drop 1", "split", "merge"):
                said = run_lerobot(options.venv, folder, what, options.timeout)
            print(
                f"{what:22} {min(rounds):6.3f} s best {median(rounds):6.3f} s median   "
                f"lerobot: {said or '-'}",
                flush=True,
            )
    found.pop(COMMAND)
    slow = [what for what, rounds in found.items() if median(rounds) >= BAR_S]
    print(json.dumps({"slower_than_1_s": slow, "videos_untouched": is_same}))
    if slow or not is_same:
        sys.exit("a bar is missed")


if __name__ == "__main__":
    main()
