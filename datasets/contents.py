"""What a folder holds before any edit: the episodes whose files are whole, and their robot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from demoloop.datasets import lerobot_layout as layout
from demoloop.datasets.errors import DatasetError
from demoloop.datasets.lerobot_files import EpisodeFiles, find_episodes
from demoloop.datasets.lerobot_info import Info, feature_names, read_info
from demoloop.datasets.lerobot_rows import read_actions
from demoloop.datasets.spec_from_data import proprioception_names, spec_from_data
from demoloop.robot import Marks, RobotSpec


@dataclass(frozen=True)
class Contents:
    """Episodes of one robot."""

    root: Path
    spec: RobotSpec
    has_own_spec: bool  # false: guessed from the actions, since the dataset says none
    fps: int
    proprioception_names: tuple[str, ...]
    episodes: Sequence[EpisodeFiles]
    missing: Sequence[str]  # one sentence per episode that cannot be read
    marks: Marks | None = None  # what was pointed at in each of the episodes


def folder_contents(root: Path) -> Contents:
    """Looks through a LeRobot dataset; of a robot that names no limits all actions are read.

    Raises:
        DatasetError: The folder is no dataset, or not one episode is whole.
    """
    info = read_info(root)
    if not info.total_episodes:
        raise DatasetError(f"{root} holds no episode yet; record some first")
    episodes, missing = find_episodes(root, info)
    readings = feature_names(info, layout.STATE)
    spec = info.spec
    if spec is None:
        readings = proprioception_names(readings, feature_names(info, layout.ACTION))
        spec, episodes = _guessed_spec(info, episodes, missing)
    if not episodes:
        first = missing[0] if missing else "the index of episodes is empty"
        raise DatasetError(f"{root}: none of {info.total_episodes} episodes can be read; {first}")
    return Contents(
        root=root,
        spec=spec,
        has_own_spec=info.spec is not None,
        fps=info.fps,
        proprioception_names=readings,
        episodes=episodes,
        missing=missing,
        marks=info.marks,
    )


def _guessed_spec(
    info: Info, episodes: Sequence[EpisodeFiles], missing: list[str]
) -> tuple[RobotSpec, list[EpisodeFiles]]:
    """Returns the spec around all actions, and the episodes whose actions could be read."""
    names = feature_names(info, layout.ACTION)
    readable, actions = [], []
    for files in episodes:
        try:
            actions.append(read_actions(files, len(names)))
            readable.append(files)
        except DatasetError as error:
            missing.append(f"episode {files.info.index} is left out: {error}")
    return spec_from_data(info, names, actions), readable
