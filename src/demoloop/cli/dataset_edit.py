"""What the verbs that edit a dataset share: naming episodes, and saying what was done."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import tyro

from demoloop.datasets import EpisodeInfo
from demoloop.datasets.edits import Edit, Op, Value, edit_episodes
from demoloop.datasets.naming import named_episodes
from demoloop.datasets.view import edited_contents


@dataclass(frozen=True, kw_only=True)
class EditOptions:
    """Which episodes of which dataset."""

    data: tyro.conf.Positional[Path]
    """Folder of the dataset, or of a collection."""
    episodes: tyro.conf.Positional[tuple[str, ...]]
    """Numbers or uuids as `demoloop dataset list` shows them: 3, 3-7, 12,15 or all."""
    author: str | None = None
    """Who says so, for the history; None is the login name."""


def edit(options: EditOptions, op: Op, value_of: Callable[[EpisodeInfo, int], Value]) -> int:
    """Sets a value for each named episode; exit code 0.

    Args:
        options: What the command line says.
        op: What to set.
        value_of: Gives the value for an episode and its steps per second.
    """
    contents = edited_contents(options.data)
    present = [files.info for files in contents.episodes]
    chosen = named_episodes(options.data, present, options.episodes)
    values = {episode.uuid: value_of(episode, contents.fps) for episode in chosen}
    made = edit_episodes(options.data, op, values, author=options.author, present=present)
    done(options.data, made)
    return 0


def done(data: Path, made: Edit) -> None:
    """Says what was written, and how to take it back."""
    count = len(made.episodes)
    print(f"{made.op}: {count} episode{'' if count == 1 else 's'}, edit {made.id}")
    print(f"`demoloop dataset undo {data} {made.id}` takes it back", file=sys.stderr)
