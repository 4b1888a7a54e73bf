"""`demoloop export`: from a run folder to one checked ONNX file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from numpy.typing import NDArray

from demoloop.datasets import Dataset, open_dataset
from demoloop.deploy.key_files import fingerprint
from demoloop.deploy.keys import KeyFolder
from demoloop.policies.checkpoint import Checkpoint
from demoloop.policies.export import export


@dataclass(frozen=True)
class Options:
    """The file is all an onboard computer needs; one that differs from torch is not written."""

    run: tyro.conf.Positional[Path]
    """Run folder that `demoloop train` wrote."""
    path: tyro.conf.Positional[Path]
    """ONNX file to write."""
    int8: bool = False
    """Quantise convolutions to 8 bits: worth it for networks as large as ACT's."""
    data: Path | None = None
    """Dataset whose frames calibrate and check the int8 file; None is the one trained on."""
    sign: Path | None = None
    """Folder of `demoloop keys` with the signer's pair: robots that trust it run the file."""


def main(options: Options) -> int:
    """Exports; exit code 0."""
    # Before the long work: a key that cannot be used shall not come to light after it.
    signer = None if options.sign is None else KeyFolder(options.sign).signer()
    secret = None if signer is None else signer.secret
    frames = None
    if options.int8:
        data = options.data or Path(Checkpoint.load(options.run).info["data"])
        frames = some_frames(open_dataset(data), 64)
    report = export(options.run, options.path, int8=options.int8, frames=frames, secret=secret)
    print(
        f"exported: {report.path}, {report.megabytes:.1f} MB, differs from torch by at most "
        f"{report.worst_error:.1e} of a joint's range"
    )
    if signer is not None:
        print(f"signed by {signer.name}: {fingerprint(signer.public)}")
    print(f"next: demoloop evaluate {options.path}")
    return 0


def some_frames(dataset: Dataset, count: int) -> list[dict[str, NDArray[Any]]]:
    """Returns about `count` frames spread over the first episodes, as the file's inputs."""
    frames: list[dict[str, NDArray[Any]]] = []
    for index in range(min(8, len(dataset.episodes))):
        episode = dataset.episode(index)
        steps = np.linspace(0, len(episode.time) - 1, max(1, count // 8)).astype(int)
        for step in steps:
            frame: dict[str, NDArray[Any]] = {"proprioception": episode.proprioception[step]}
            frame |= {f"image.{name}": images[step] for name, images in episode.images.items()}
            if episode.goal is not None:
                frame["goal"] = episode.goal
            frames.append(frame)
    return frames
