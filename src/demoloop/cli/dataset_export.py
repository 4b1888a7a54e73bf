"""`demoloop dataset export`: a dataset as it is shown, edits included, in a format of others."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from demoloop.datasets.exporters import export_dataset


@dataclass(frozen=True)
class Options:
    """What was dropped stays out, what was trimmed is short; the dataset is not touched."""

    root: tyro.conf.Positional[Path]
    """Folder of the dataset."""
    out: tyro.conf.Positional[Path]
    """Folder to write; for robomimic the HDF5 file."""
    format: str
    """lerobot (v3.0), robomimic (HDF5) or rerun (.rrd)."""
    split: str | None = None
    """Only the episodes of this split; None takes all."""


def main(options: Options) -> int:
    """Exports; exit code 0."""
    dataset = export_dataset(
        options.root, options.out, options.format, split=options.split, progress=True
    )
    for sentence in dataset.missing:
        print(f"demoloop: {sentence}", file=sys.stderr)
    count, seconds = len(dataset.episodes), dataset.num_frames / dataset.fps
    print(f"exported: {options.out}, {count} episodes of {seconds:.1f} s as {options.format}")
    return 0
