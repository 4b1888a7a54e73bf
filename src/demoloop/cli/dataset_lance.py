"""`demoloop dataset lance`: a dataset as one Lance table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from demoloop.datasets import open_dataset
from demoloop.datasets.scale.lance_export import export_lance


@dataclass(frozen=True)
class Options:
    """A row is an episode as edits leave it, its videos as blobs; nothing is decoded.

    Writing to a table that exists makes its next version.
    """

    data: tyro.conf.Positional[Path]
    """Folder of the dataset."""
    out: tyro.conf.Positional[Path]
    """Folder of the table to write, such as pick.lance."""
    split: str | None = None
    """Only the episodes of this split."""


def main(options: Options) -> int:
    """Writes; exit code 0."""
    dataset = open_dataset(options.data, options.split)
    version = export_lance(dataset, options.out)
    print(f"{options.out}: {len(dataset.episodes)} episodes, version {version}")
    return 0
