"""What a kill and a power cut cost: `python benchmarks/crash.py [--kills 200] [--cuts 20]`.

A process records episodes of about a second, 60 Hz and two cameras of 240x320, and commits each.
It is killed (SIGKILL) at random moments, half of them within 30 ms of a commit's beginning. Then
the dataset is opened for writing, which puts together what was open, and everything the process
had said is checked: committed episodes by their sha256, the open one by its length.

A power cut is simulated: the disk is taken to hold, of each file that is still being recorded,
what a sync that has returned had covered, and nothing written later.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from demoloop.datasets import DatasetWriter, EpisodeRecorder, open_dataset
from demoloop.datasets.camera_stream import file_sha256
from demoloop.datasets.journal import read_journal
from demoloop.datasets.staging import salvage
from demoloop.robot import CameraSpec, JointSpec, Observation, RobotSpec

HZ = 60
SPEC = RobotSpec(
    "crash",
    tuple(JointSpec(name, -10.0, 1e6, 1.0, 1.0) for name in ("one", "two")),
    (CameraSpec("front", 240, 320), CameraSpec("wrist", 240, 320)),
    float(HZ),
)


def record(root: Path, says_synced: bool) -> None:
    """Records for ever; says what it has handed over, what it commits and what is committed."""
    rng = np.random.default_rng()
    noise = rng.integers(0, 255, (8, 240, 320, 3), np.uint8)
    if says_synced:
        fdatasync = os.fdatasync

        def watched(descriptor: int) -> None:
            size = os.fstat(descriptor).st_size
            fdatasync(descriptor)
            say("synced", os.readlink(f"/proc/self/fd/{descriptor}"), size)

        os.fdatasync = watched
    with DatasetWriter(root, SPEC) as writer:
        while True:
            with EpisodeRecorder(root, task="crash") as recorder:
                start = time.monotonic()
                for step in range(int(rng.integers(60, 90)) if not says_synced else 10**9):
                    time.sleep(max(0.0, start + step / HZ - time.monotonic()))
                    now = time.monotonic()
                    images = {"front": noise[step % 8], "wrist": noise[(step + 3) % 8]}
                    seen = np.full(4, step, np.float32)
                    recorder(Observation(now, seen, images, dict.fromkeys(images, now)), seen[:2])
                    say("step", step + 1)
                say("committing")
                index = writer.commit(recorder.finish(success=True))
                say("committed", index)


def say(*words: object) -> None:
    """Prints a line in one piece: two threads speak."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def start(root: Path, *, says_synced: bool = False) -> subprocess.Popen[str]:
    """Starts the process that records."""
    command = [sys.executable, __file__, "--inside", str(root)] + ["--synced"] * says_synced
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def kill(root: Path, rng: random.Random) -> tuple[int, int]:
    """Records, kills; returns how many episodes were said to be committed and steps handed over."""
    process = start(root)
    assert process.stdout is not None
    in_commit = rng.random() < 0.5
    wait = rng.randint(1, 3) if in_commit else rng.randint(30, 200)
    committed = steps = 0
    for line in process.stdout:
        word, *rest = line.split()
        committed = int(rest[0]) + 1 if word == "committed" else committed
        steps = int(rest[0]) if word == "step" else 0 if word == "committed" else steps
        wait -= word == ("committing" if in_commit else "step")
        if wait <= 0:
            break
    time.sleep(rng.uniform(0, 0.03))
    process.kill()
    for line in process.stdout.read().splitlines():
        word, *rest = (*line.split(), "0")
        committed = int(rest[0]) + 1 if word == "committed" else committed
        steps = int(rest[0]) if word == "step" else 0 if word == "committed" else steps
    process.wait()
    return committed, steps


def kills(count: int) -> None:
    """Kills so often; prints what was lost."""
    rng = random.Random(0)
    lost, damaged, worst, recovered, unheard, trashed, total = 0, 0, 0.0, 0, 0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        for number in tqdm(range(count), desc="kills", unit="kill"):
            root = Path(folder) / f"d{number // 20}"  # twenty in a row into one dataset
            before = len(read_journal(root)) if root.exists() else 0
            committed, steps = kill(root, rng)
            said = max(committed, before)
            with DatasetWriter(root, SPEC) as writer:
                added = writer.recovered
                entries = read_journal(root)
            lost += max(0, said - len(entries))
            total += max(0, said - before)
            dataset = open_dataset(root) if entries else None
            damaged += len(dataset.missing) if dataset else 0
            for entry in entries[before:]:
                bad = [p for p, sha256 in entry.files.items() if file_sha256(root / p) != sha256]
                rows = dataset.lowdim(entry.index).actions[:, 0]
                damaged += bool(bad) or rows.tolist() != list(range(entry.length))
            if added:
                recovered += 1
                worst = max(worst, (steps - entries[added[0]].length) / HZ)
            elif len(entries) > said:
                unheard += 1  # committed, and killed before it could say so
            elif steps:
                trashed += 1
                worst = max(worst, steps / HZ if steps > 1.1 * HZ else 0.0)
    print(
        f"{count} kills: {lost} of {total} committed episodes lost, {damaged} damaged; "
        f"{recovered} open ones put together and {unheard} found committed, at most {worst:.3f} s "
        f"of their end lost; {trashed} were shorter than a second and went to the trash"
    )


def cuts(count: int) -> None:
    """Simulates so many power cuts; prints what was lost."""
    rng = random.Random(1)
    losses = []
    for _ in tqdm(range(count), desc="power cuts", unit="cut"):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / "d"
            process = start(root, says_synced=True)
            assert process.stdout is not None
            durable: dict[str, int] = {}
            steps, wait = 0, rng.randint(120, 360)
            for line in process.stdout:
                word, *rest = line.split()
                if word == "synced":
                    durable[Path(rest[0]).name] = int(rest[1])
                elif word == "step":
                    steps = int(rest[0])
                if steps >= wait:
                    break
            process.kill()
            process.wait()
            (opened,) = (root / "demoloop/open").iterdir()
            copy = Path(folder) / "after"
            shutil.copytree(opened, copy)
            for path in copy.iterdir():
                os.truncate(path, min(durable.get(path.name, 0), path.stat().st_size))
            staged = salvage(copy)
            losses.append((steps - (len(staged.steps) if staged else 0)) / HZ)
    print(
        f"{count} power cuts: {np.median(losses):.2f} s lost in the median, {max(losses):.2f} s at "
        "most"
    )


def main() -> None:
    """Kills and cuts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--cuts", type=int, default=20)
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--synced", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        record(options.inside, options.synced)
        return
    kills(options.kills)
    cuts(options.cuts)


if __name__ == "__main__":
    main()
