"""`demoloop dataset list`: the episodes, one a line."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from demoloop.datasets import EpisodeInfo, open_dataset

_JUDGED = {True: "yes", False: "no", None: "-"}


@dataclass(frozen=True)
class Options:
    """The index and the first digits of the uuid are the names other verbs take."""

    data: tyro.conf.Positional[Path]
    """Folder of the dataset."""


def main(options: Options) -> int:
    """Prints the table; exit code 0."""
    dataset = open_dataset(options.data)
    for sentence in dataset.missing:
        print(f"demoloop: {sentence}", file=sys.stderr)
    heads = ("index", "uuid", "seconds", "kept", "success", "weight", "split", "task", "tags")
    rows = [heads, *(row(episode, dataset.fps) for episode in dataset.episodes)]
    widths = [max(len(cells[column]) for cells in rows) for column in range(len(heads))]
    for cells in rows:
        line = "  ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True))
        print(line.rstrip())
    seconds = dataset.num_frames / dataset.fps
    print(f"{len(dataset.episodes)} episodes, {seconds:.1f} s, view {dataset.view_hash()}")
    return 0


def row(episode: EpisodeInfo, fps: int) -> tuple[str, ...]:
    """Returns the cells of one episode; `kept` names steps of the recording, last excluded."""
    last = episode.first + episode.length
    is_whole = episode.length == episode.recorded_length
    return (
        str(episode.index),
        episode.uuid[:8],
        f"{episode.length / fps:.2f}",
        "all" if is_whole else f"{episode.first}-{last} of {episode.recorded_length}",
        _JUDGED[episode.success],
        f"{episode.weight:g}",
        episode.split or "-",
        episode.task,
        " ".join(episode.tags),
    )
