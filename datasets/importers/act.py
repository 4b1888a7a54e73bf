"""ACT's and ALOHA's HDF5: a file for each episode, /observations and /action.

Observation t and action t stand in one row: the action was sent after that observation was taken.
ACT's own loader pairs, for a real robot (attribute `sim` false), observation t with action t - 1,
as a guess at the delay of the cameras; `shift_actions` does the same, and is off.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from demoloop.datasets.episode import Episode
from demoloop.datasets.errors import DatasetError
from demoloop.datasets.importers.found import (
    MAX_EPISODES,
    NO_TASK,
    Found,
    ImportOptions,
    Skipped,
    camera_names,
    check_rate,
    numbered,
)
from demoloop.datasets.importers.hdf5 import is_hdf5, open_hdf5
from demoloop.datasets.importers.hdf5_episodes import Kind, Part, chosen, found_in

RATE = 50.0  # Hz; ACT's files do not say it, its constant DT is 0.02 s
IMAGES = "observations/images/"
ACTION, POSITIONS, VELOCITIES = "action", "observations/qpos", "observations/qvel"
_ARM = ("waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate", "gripper")
_DIGITS = re.compile(r"\d{1,9}")
ALOHA = tuple(f"{side}_{joint}" for side in ("left", "right") for joint in _ARM)


def is_act(source: Path) -> bool:
    """Says whether this may be ACT's: a folder of episode_*.hdf5, or one such file."""
    return bool(_files(source)) and (source.is_dir() or _is_named(source))


def find(source: Path, options: ImportOptions) -> Found:
    """Looks through the files of all episodes."""
    parts: list[Part] = []
    skipped: list[Skipped] = []
    has_real = False
    names: dict[str, str] = {}
    for path in _files(source)[:MAX_EPISODES]:
        try:
            file = open_hdf5(path)
            file.shape(ACTION)
            there = [name for name in file.arrays if name.startswith(IMAGES)]
            keys = [name.removeprefix(IMAGES) for name in there if file.is_picture(name)]
            if not parts:
                names = camera_names(chosen(path, "camera", keys, options.cameras) or keys)
        except DatasetError as error:
            skipped.append(Skipped(path.name, str(error)))
            continue
        states = options.state or tuple(n for n in (POSITIONS, VELOCITIES) if n in file.arrays)
        pictures = {camera: IMAGES + key for key, camera in names.items()}
        parts.append(Part(path.name, file, ACTION, states, pictures))
        has_real = has_real or file.attributes["/"].get("sim") in (False, 0)
    if not parts:
        why = f"{skipped[0].name}: {skipped[0].why}" if skipped else "there is no HDF5 file"
        raise DatasetError(f"{source} holds no episode of ACT; {why}")

    def fix_pictures(images: NDArray[np.uint8], was_compressed: bool) -> NDArray[np.uint8]:
        # ACT's forks hand RGB to OpenCV, which takes it for BGR, and back.
        return images[..., ::-1] if was_compressed != options.is_bgr else images

    def finish(part: Part, episode: Episode) -> Episode:
        return episode

    kind = Kind(
        robot=options.robot or "aloha",
        fps=check_rate(RATE, source, options.fps),
        task=options.task or NO_TASK,
        name_joints=joint_names,
        name_readings=reading_names,
        fix_actions=_one_later if options.shift_actions else _as_they_are,
        fix_pictures=fix_pictures,
        finish=finish,
    )
    found = found_in(parts, kind, {IMAGES + key: name for key, name in names.items()})
    found.skipped.extend(skipped)
    if options.fps is None:
        found.notes.append("the files name no rate; 50 Hz is ACT's, --fps gives another")
    if has_real and not options.shift_actions:
        found.notes.append(
            "of a real robot: observation t keeps action t, as recorded; ACT's loader takes action "
            "t - 1, --shift-actions does so too"
        )
    return found


def joint_names(width: int) -> tuple[str, ...]:
    """Returns ALOHA's names for 14 joints, numbers for another robot."""
    return ALOHA if width == len(ALOHA) else numbered("joint", width)


def reading_names(array: str, width: int) -> tuple[str, ...]:
    """Returns a name for each number of qpos, qvel, or another array."""
    ending = {POSITIONS: ".pos", VELOCITIES: ".vel"}.get(array)
    if ending is None:
        return numbered(array.rsplit("/", 1)[-1], width)
    return tuple(joint + ending for joint in joint_names(width))


def _as_they_are(actions: NDArray[np.float32]) -> NDArray[np.float32]:
    return actions


def _one_later(actions: NDArray[np.float32]) -> NDArray[np.float32]:
    """Pairs observation t with action max(0, t - 1)."""
    return np.concatenate([actions[:1], actions[:-1]])


def _files(source: Path) -> list[Path]:
    """Returns the HDF5 files, episode_2 before episode_10."""
    if source.is_file():
        return [source] if is_hdf5(source) else []
    if not source.is_dir():
        return []
    paths = (path for path in source.iterdir() if path.suffix in (".hdf5", ".h5"))
    return sorted(paths, key=lambda path: ([int(n) for n in _DIGITS.findall(path.name)], path))


def _is_named(path: Path) -> bool:
    return re.fullmatch(r"episode_?\d+", path.stem) is not None
