"""How people name episodes: by the number that `demoloop dataset list` shows, or by their uuid."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from demoloop.datasets.errors import DatasetError
from demoloop.datasets.lerobot_files import EpisodeInfo

MIN_PREFIX = 6  # hex digits of a uuid: among a million episodes one pair in 16 shares so many


def named_episodes(
    root: Path, episodes: Sequence[EpisodeInfo], names: Sequence[str]
) -> list[EpisodeInfo]:
    """Returns the episodes that are named, in the order of the dataset, each once.

    Args:
        root: The dataset, for the messages.
        episodes: Those there are.
        names: `3`, `3-7`, `12,15`, the first digits of a uuid, or `all`.

    Raises:
        DatasetError: A name fits no episode, or more than one.
    """
    chosen: set[str] = set()
    for name in (part for word in names for part in word.split(",") if part):
        chosen |= {episode.uuid for episode in _matches(root, episodes, name)}
    if not chosen:
        raise DatasetError(f"no episode is named; say 3, 3-7, 12,15, a uuid, or all of {root}")
    return [episode for episode in episodes if episode.uuid in chosen]


def _matches(root: Path, episodes: Sequence[EpisodeInfo], name: str) -> list[EpisodeInfo]:
    if name == "all":
        return list(episodes)
    found: list[EpisodeInfo] = []
    numbers = re.fullmatch(r"(\d{1,12})(?:-(\d{1,12}))?", name)
    if numbers:
        first = int(numbers[1])
        last = int(numbers[2] or first)
        found = [episode for episode in episodes if first <= episode.index <= last]
    if not found and re.fullmatch(rf"[0-9a-f]{{{MIN_PREFIX},32}}", name):
        found = [episode for episode in episodes if episode.uuid.startswith(name)]
        if len(found) > 1:
            raise DatasetError(
                f"{root} has {len(found)} episodes whose uuid begins with {name}; say more of it"
            )
    if not found:
        raise DatasetError(
            f"{root} has no episode {name!r}, or it is dropped; `demoloop dataset list {root}` "
            "shows those there are"
        )
    return found
