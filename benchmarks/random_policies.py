"""Policies with random weights, to be measured: `python benchmarks/random_policies.py FOLDER`.

`chunk` and `act` are as large as `demoloop train` makes them, `act-large` has 15.5 M parameters in
what is exported: a ResNet-18 of full width, 4 encoder layers and 1 decoder layer of 256, chunks of
50 steps, two cameras of 96 px. Needs the extra `train`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from demoloop.policies.act import ActConfig
from demoloop.policies.checkpoint import Checkpoint, shape_to_json
from demoloop.policies.chunk import ChunkConfig
from demoloop.policies.export import export
from demoloop.policies.policy import Policy, PolicyShape
from demoloop.policies.registry import POLICIES
from demoloop.robot.arms.so101 import SO101

LARGE = ActConfig(resnet_width=64, dim=256, num_heads=8, feedforward_dim=1024, num_encoder_layers=4)
INT8 = "-int8"
KINDS: Mapping[str, tuple[str, ChunkConfig | ActConfig, int]] = {  # policy, sizes, horizon
    "chunk": ("chunk", ChunkConfig(), 16),
    "act": ("act", ActConfig(), 16),
    "act-large": ("act", LARGE, 50),
}


def make_run(name: str, folder: Path, seed: int = 0) -> Path:
    """Writes a run folder as `demoloop train` would, and returns it."""
    policy, sizes, horizon = KINDS[name]
    names = SO101.proprioception_names
    shape = PolicyShape(SO101, len(names), horizon, (96, 96))
    torch.manual_seed(seed)
    network: Policy = POLICIES[policy].policy(shape, sizes)
    with torch.no_grad():
        for key, value in network.named_parameters():
            if key.endswith(".scale"):
                value.fill_(0.2)  # 0 at first: half of the ResNet would answer nothing
    info = {
        "policy": policy, "sizes": asdict(sizes), "shape": shape_to_json(shape),
        "dataset_view": "none", "data": "none", "tasks": ["nothing"], "train_config": {},
        "progress": {}, "sampler": {}, "proprioception_names": names,
        "proprioception_low": [-1.0] * len(names), "proprioception_high": [1.0] * len(names),
    }  # fmt: skip
    run = folder / name
    run.mkdir(parents=True, exist_ok=True)
    tensors = {f"ema.{key}": value for key, value in network.state_dict().items()}
    Checkpoint(tensors, info).save(run)
    return run


def scenes(count: int, seed: int = 1) -> list[dict[str, NDArray[Any]]]:
    """Returns inputs with pictures of blocks, slopes and noise, since white noise averages out."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        scene: dict[str, NDArray[Any]] = {
            "proprioception": rng.uniform(-1, 1, len(SO101.proprioception_names)).astype(np.float32)
        }
        for camera in SO101.cameras:
            coarse = rng.integers(0, 256, (12, 12, 3)).repeat(8, 0).repeat(8, 1)
            slope = np.linspace(0, rng.integers(256), 96)[None, :, None]
            noise = rng.normal(0, 8, (96, 96, 3))
            picture = 0.6 * coarse + 0.4 * slope + noise
            scene[f"image.{camera.name}"] = picture.clip(0, 255).astype(np.uint8)
        made.append(scene)
    return made


def main(words: list[str]) -> int:
    """Exports one file of each kind, or of those named after the folder, and prints them."""
    folder = Path(words[0])
    for name in words[1:] or [*KINDS, "act-large-int8"]:
        run = make_run(name.removesuffix(INT8), folder)
        is_int8 = name.endswith(INT8)
        frames = scenes(64, seed=2) if is_int8 else None
        print(export(run, folder / f"{name}.onnx", int8=is_int8, frames=frames).path, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
