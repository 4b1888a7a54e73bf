"""A humanoid's real recordings through the whole stack: load, train, export, open-loop error.

    python benchmarks/g1.py --data FOLDER [--steps 600] [--policy chunk] [--held-out 1]

FOLDER is a LeRobot v2.1 dataset of the Unitree G1 (26 joints, one 480 x 640 camera in AV1) of
which two of a hundred episodes are there: one is trained on, one held out. It is copied first, for
training leaves its cache in it. One thread. With one demonstration the policy cannot know the
postures of another; the numbers say how far off it is beside staying and repeating, which is what
the stack promises to report. Prints one RESULT line; each verb runs as a person would run it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def run(*words: object) -> dict[str, float]:
    """Runs one verb, shows its last line, and returns what it took."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "demoloop", *map(str, words)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr[-2000:])
    print(done.stdout.strip(), flush=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall_s": round(time.perf_counter() - began, 1), "cpu_s": round(cpu, 1)}


def main() -> None:
    """Prints one RESULT line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--policy", default="chunk")
    parser.add_argument("--held-out", type=int, default=1, help="counted among those present")
    parser.add_argument("--out", type=Path, help="keep what is made here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.out or Path(temporary)
        data = folder / "data"
        # Without its modes: what is shared may be read-only, a copy need not be.
        shutil.copytree(options.data, data, copy_function=shutil.copyfile, dirs_exist_ok=True)
        for path in (data, *data.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        policy = folder / "policy.onnx"
        took = {
            "train": run(
                "train", "--data", data, "--out", folder / "run", "--policy", options.policy,
                "--held-out", options.held_out, "--steps", options.steps,
                "--image-size", 96, 128,
            ),
            "export": run("export", folder / "run", policy),
            "open_loop": run("open-loop", policy, "--data", data, "--out", folder / "open_loop"),
        }  # fmt: skip
        report = json.loads((folder / "open_loop" / "open_loop.json").read_text())
    errors = report["errors"]
    result = {
        "policy": options.policy,
        "steps": options.steps,
        "held_out": report["episodes"],
        "compared_actions": report["compared_actions"],
        "share_of_range": {who: round(e["share_of_range"], 4) for who, e in errors.items()},
        "first_and_last_step_ahead": {
            who: [round(e["share_of_range_by_step_ahead"][k], 4) for k in (0, -1)]
            for who, e in errors.items()
        },
        "joints": {
            name: {"rad": round(joint["error"], 4), "share": round(joint["share_of_range"], 3)}
            for name, joint in errors["policy"]["joints"].items()
        },
        "took": took,
    }
    print("RESULT " + json.dumps(result))


if __name__ == "__main__":
    main()
