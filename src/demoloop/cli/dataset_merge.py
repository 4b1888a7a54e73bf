"""`demoloop dataset merge`: read several datasets as one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from demoloop.datasets import DatasetError
from demoloop.datasets.view import merge


@dataclass(frozen=True)
class Options:
    """Writes a collection: one small file that names the datasets. Nothing is copied or changed.

    What is recorded or edited in them later shows in it; edits of the collection stay its own.
    """

    sources: tyro.conf.Positional[tuple[Path, ...]]
    """Folders of the datasets."""
    out: Path
    """New folder of the collection."""


def main(options: Options) -> int:
    """Merges; exit code 0."""
    if not options.sources:
        raise DatasetError("no dataset to merge; name one at least")
    contents = merge(options.sources, options.out)
    print(f"merged: {options.out}, {len(contents.episodes)} episodes of {contents.spec.name}")
    return 0
