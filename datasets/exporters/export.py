"""Writes what a dataset shows, edits included, in a format of others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from demoloop.datasets.errors import DatasetError
from demoloop.datasets.exporters import lerobot, rerun, robomimic
from demoloop.datasets.exporters.whole import whole
from demoloop.datasets.lerobot_read import Dataset, open_dataset

Exporter = Callable[[Dataset, Path, bool], None]
"""Writes a dataset to a path where nothing is yet; the last argument is whether to show a bar."""

EXPORTERS: Mapping[str, Exporter] = {
    "lerobot": lerobot.export,
    "robomimic": robomimic.export,
    "rerun": rerun.export,
}


def export_dataset(
    root: Path, out: Path, format_name: str, *, split: str | None = None, progress: bool = False
) -> Dataset:
    """Writes the dataset at `root` to `out`, which appears when all is written, or not at all.

    Episodes that cannot be read are left out: `missing` of the dataset that is returned names them.

    Args:
        root: Folder of the dataset.
        out: Folder or file to write.
        format_name: One of `EXPORTERS`.
        split: Only the episodes of this split; all when None.
        progress: Whether to show a bar.

    Raises:
        DatasetError: The format is unknown, the dataset cannot be opened, `out` is there already
            or cannot be written.
    """
    if format_name not in EXPORTERS:
        raise DatasetError(f"no format {format_name!r}; demoloop exports {', '.join(EXPORTERS)}")
    dataset = open_dataset(Path(root), split)
    with whole(Path(out)) as work:
        EXPORTERS[format_name](dataset, work, progress)
    return dataset
