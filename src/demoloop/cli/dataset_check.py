"""`demoloop dataset check`: what is wrong by itself, with time and picture. No grades."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from demoloop.datasets import open_dataset
from demoloop.datasets.check import NO_EPISODE, find_defects
from demoloop.datasets.check.report import counted, drop_command, where, write_report


@dataclass(frozen=True)
class Options:
    """Lists hard defects. Changes nothing: whether an episode is dropped, a person decides."""

    data: tyro.conf.Positional[Path]
    """Folder of the dataset."""
    out: Path | None = None
    """Folder for check.json and check.html, a page with pictures; none is written without."""
    again: bool = False
    """Look again even when no file has changed since the last time."""


def main(options: Options) -> int:
    """Prints the defects; exit code 0 without any, 1 with some."""
    dataset = open_dataset(options.data)
    defects = find_defects(dataset, again=options.again, progress=True)
    rows = [
        (
            "-" if defect.episode == NO_EPISODE else str(defect.episode),
            defect.uuid[:8],
            where(defect, dataset.fps),
            defect.kind,
            defect.sentence,
        )
        for defect in defects
    ]
    if rows:
        rows.insert(0, ("episode", "uuid", "where", "defect", ""))
    widths = [max(len(row[column]) for row in rows) for column in range(4)] if rows else []
    for row in rows:
        cells = [f"{cell:<{width}}" for cell, width in zip(row[:4], widths, strict=True)]
        print("  ".join([*cells, row[4]]).rstrip())
    seconds = dataset.num_frames / dataset.fps
    print(f"{len(dataset.episodes)} episodes, {seconds:.1f} s; defects: {counted(defects)}")
    if options.out is not None:
        print(f"report: {write_report(dataset, defects, options.out, progress=True)}")
    if command := drop_command(dataset, defects):
        print(f"nothing was changed; to drop every episode named above: {command}")
    return 1 if defects else 0
