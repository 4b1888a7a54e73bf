"""robomimic's HDF5: all demonstrations in one file, /data/demo_i with actions and obs/<key>.

Actions are taken as they are: robomimic's own are often steps of the end effector in [-1, 1], and
then they are not joint targets here either.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from demoloop.datasets.episode import Episode
from demoloop.datasets.errors import DatasetError
from demoloop.datasets.exporters.robomimic import OURS
from demoloop.datasets.importers.found import (
    MAX_EPISODES,
    NO_TASK,
    Found,
    ImportOptions,
    camera_names,
    check_rate,
    numbered,
    read_rate,
)
from demoloop.datasets.importers.hdf5 import Hdf5File, is_hdf5, open_hdf5
from demoloop.datasets.importers.hdf5_episodes import Kind, Part, chosen, found_in
from demoloop.robot import RobotError, RobotSpec

PRIVILEGED = "object"  # robosuite's truth about the world, which no robot can read


def is_robomimic(source: Path) -> bool:
    """Says whether this may be a robomimic file: one HDF5 file."""
    return source.is_file() and is_hdf5(source)


def find(source: Path, options: ImportOptions) -> Found:
    """Looks through a robomimic file."""
    file = open_hdf5(source)
    demos = demonstrations(file)
    if not demos:
        raise DatasetError(
            f"{source} has no /data/demo_0/actions; an ACT file is read with --format act"
        )
    obs = f"data/{demos[0]}/obs/"
    keys = [name.removeprefix(obs) for name in file.arrays if name.startswith(obs)]
    pictures = [key for key in keys if file.is_picture(obs + key)]
    rest = [key for key in keys if key not in pictures]
    cameras = chosen(source, "camera", pictures, options.cameras) or pictures
    states = chosen(source, "reading", rest, options.state) or _default_readings(rest)
    names = {key: name.removesuffix("_image") for key, name in camera_names(cameras).items()}
    environment = _json(file.attributes.get("data", {}).get("env_args"))
    spec = _our_spec(file)
    if spec is not None and set(names.values()) != set(spec.camera_names):
        raise DatasetError(
            f"{source} shows cameras {', '.join(names.values())}, its spec has "
            f"{', '.join(spec.camera_names)}; the file is damaged"
        )
    kind = Kind(
        robot=options.robot or str(environment.get("env_name") or "robomimic"),
        fps=int(spec.control_hz) if spec else check_rate(_rate(environment), source, options.fps),
        task=options.task or str(environment.get("env_name") or NO_TASK),
        name_joints=lambda width: numbered("action", width),
        name_readings=_reading_names,
        fix_actions=lambda actions: actions,
        fix_pictures=lambda images, _: images[..., ::-1] if options.is_bgr else images,
        finish=_finish,
        spec=spec,
    )
    parts = [
        Part(
            demo,
            file,
            f"data/{demo}/actions",
            tuple(f"data/{demo}/obs/{key}" for key in states),
            {camera: f"data/{demo}/obs/{key}" for key, camera in names.items()},
        )
        for demo in demos
    ]
    found = found_in(parts, kind, {f"obs/{key}": name for key, name in names.items()})
    if left := [key for key in rest if key not in states]:
        found.notes.append(f"readings left out: {', '.join(left)}; --state names those to keep")
    return found


def demonstrations(file: Hdf5File) -> list[str]:
    """Returns the demonstrations with actions, demo_2 before demo_10."""
    found = (re.fullmatch(r"data/([^/]+)/actions", name) for name in file.arrays)
    demos = [match[1] for match in found if match]
    return sorted(demos, key=lambda demo: [int(n) for n in re.findall(r"\d{1,9}", demo)])[
        :MAX_EPISODES
    ]


def _default_readings(keys: list[str]) -> tuple[str, ...]:
    """Returns what a robot reads of itself; what only a simulator knows stays out."""
    robot = tuple(key for key in keys if key.startswith("robot"))
    return robot or tuple(key for key in keys if key != PRIVILEGED)


def _reading_names(array: str, width: int) -> tuple[str, ...]:
    key = array.split("/obs/", 1)[1]
    return (key,) if width == 1 else numbered(key, width)


def _rate(environment: Mapping[str, Any]) -> float | None:
    """Returns the control rate [Hz] that robosuite was made with."""
    words = environment.get("env_kwargs")
    return read_rate(words.get("control_freq")) if isinstance(words, dict) else None


def _our_spec(file: Hdf5File) -> RobotSpec | None:
    text = file.attributes.get("data", {}).get(OURS)
    if text is None:
        return None
    try:
        return RobotSpec.from_json(_json(text))
    except RobotError as error:
        raise DatasetError(f"{file.path}: its spec is damaged: {error}") from error


def _finish(part: Part, episode: Episode) -> Episode:
    """Adds whether it succeeded, and what our exporter noted."""
    group = f"data/{part.name}"
    file, noted = part.file, part.file.attributes.get(group, {})
    success: bool | None = None
    if f"{group}/rewards" in file.arrays and bool((file.numbers(f"{group}/rewards") > 0).any()):
        success = True
    ours = _json(noted.get(OURS))
    if not ours:
        return replace(episode, success=success)
    own = f"{group}/{OURS}"
    times = {camera: _times(file, f"{own}/camera_time/{camera}") for camera in part.pictures}
    try:
        events = tuple((int(step), str(what)) for step, what in ours["events"])
        judged, seed = ours["success"], ours["seed"]
        takeover = f"{own}/takeover"
        return replace(
            episode,
            task=str(ours["task"]),
            time=_times(file, f"{own}/time"),
            image_times=times,
            success=None if judged is None else bool(judged),
            seed=None if seed is None else int(seed),
            is_takeover=file.numbers(takeover)[:, 0] > 0 if takeover in file.arrays else None,
            events=events,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"{group}: what demoloop noted is damaged: {error!r}") from error


def _times(file: Hdf5File, name: str) -> NDArray[np.float64]:
    return file.wide(name)[:, 0]


def _json(text: object) -> dict[str, Any]:
    """Returns the object that a text holds; an empty one when it holds none."""
    try:
        value = json.loads(str(text))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
