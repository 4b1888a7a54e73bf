"""What one inference costs the CPU: `python benchmarks/inference.py [--rounds N] [--name NAME]`.

ONNX Runtime as a robot runs it (deploy/providers.py), float and int8, against the same network in
torch, eager, in channels_last, the quickest way torch has without compiling. A random ACT of 15.6 M
parameters with two cameras of 96 px; one thread each; interleaved, so that whatever else the
computer does meets all of them alike; CPU time, not time on the wall. Bars: float at most 0.55 of
torch's CPU time, int8 0.35; float within 1e-5 of a joint's range of torch's answers, int8 within
1e-2, on scenes that int8 was not calibrated on. Exit code 1 when one is missed.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from random_policies import KINDS, make_run, scenes

from demoloop.deploy.onnx_policy import OnnxPolicy
from demoloop.deploy.providers import NAMES
from demoloop.policies.checkpoint import load_policy
from demoloop.policies.export import Onboard, export
from demoloop.robot import Observation

BARS = {"onnxruntime float": 0.55, "onnxruntime int8": 0.35}
ERRORS = {"float": 1e-5, "int8": 1e-2}  # of a joint's range
TORCH = "torch eager channels_last"
NUM_SCENES = 16

Scene = dict[str, NDArray[Any]]
Predict = Callable[[Scene], NDArray[np.float32]]


def in_torch(onboard: Onboard) -> Predict:
    """Answers with torch, as it is or in channels_last."""
    names = onboard.policy.shape.cameras

    def predict(scene: Scene) -> NDArray[np.float32]:
        with torch.inference_mode():
            images = [torch.from_numpy(scene[f"image.{name}"][None]) for name in names]
            chunk = onboard(torch.from_numpy(scene["proprioception"][None]), *images)
        answer: NDArray[np.float32] = chunk[0].numpy()
        return answer

    return predict


def in_file(path: Path, provider: Any) -> Predict:
    """Answers as `demoloop serve` does."""
    policy = OnnxPolicy.load(path, provider=provider)

    def predict(scene: Scene) -> NDArray[np.float32]:
        images = {name: scene[f"image.{name}"] for name in policy.spec.camera_names}
        times = dict.fromkeys(images, 0.0)
        return policy.predict(Observation(0.0, scene["proprioception"], images, times)).actions

    return predict


def make(folder: Path, name: str) -> tuple[dict[str, Predict], NDArray[np.float32], float]:
    """Returns who answers, the span of each joint, and the millions of parameters exported."""
    run = make_run(name, folder)
    plain = export(run, folder / "float.onnx")
    export(run, folder / "int8.onnx", int8=True, frames=scenes(64, seed=2))
    policies = [load_policy(run)[0] for _ in range(2)]
    spec = policies[0].shape.spec
    eager, last = (Onboard(policy).eval() for policy in policies)
    last = last.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    who = {"torch eager": in_torch(eager), TORCH: in_torch(last)}
    for provider, full in NAMES.items():
        if full in ort.get_available_providers() and provider != "tensorrt":
            label = "onnxruntime" if provider == "cpu" else provider
            who[f"{label} float"] = in_file(folder / "float.onnx", provider)
            who[f"{label} int8"] = in_file(folder / "int8.onnx", provider)
    return who, spec.high - spec.low, plain.megabytes / 4


def measure(who: Mapping[str, Predict], rounds: int) -> dict[str, list[float]]:
    """Returns CPU seconds of each inference, all in turn in each round."""
    scene = scenes(1)[0]
    for predict in who.values():
        for _ in range(3):
            predict(scene)
    seconds: dict[str, list[float]] = {name: [] for name in who}
    for _ in range(rounds):
        for name, predict in who.items():
            start = time.process_time()
            predict(scene)
            seconds[name].append(time.process_time() - start)
    return seconds


def main() -> int:
    """Prints a line for each; exit code 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--name", default="act-large", choices=list(KINDS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        who, span, millions = make(Path(folder), arguments.name)
    seconds = measure(who, arguments.rounds)
    judged = scenes(NUM_SCENES, seed=3)
    true = [who["torch eager"](scene) for scene in judged]
    print(
        f"{arguments.name}: {millions:.1f} M parameters, {arguments.rounds} rounds, torch "
        f"{torch.__version__}, onnxruntime {ort.__version__}, load {os.getloadavg()[0]:.1f}"
    )
    is_met = True
    for name, each in seconds.items():
        errors = [np.abs(who[name](s) - t).max(0) for s, t in zip(judged, true, strict=True)]
        worst = np.max(errors, axis=0)  # (A,)
        part = float((worst / span).max())
        share = median(each) / median(seconds[TORCH])
        bar = BARS.get(name) if arguments.name == "act-large" else None
        allowed = ERRORS.get(name.split()[-1])
        is_met &= (bar is None or share <= bar) and (allowed is None or part <= allowed)
        print(
            f"  {name:26s} cpu median {median(each) * 1e3:6.2f} min {min(each) * 1e3:6.2f} ms, "
            f"{share:.2f} of {TORCH}{f' (bar: {bar})' if bar else ''}; off by {worst.max():.1e}, "
            f"{part:.1e} of a range{f' (bar: {allowed:.0e})' if allowed else ''}"
        )
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
