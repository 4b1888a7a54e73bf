"""What the info.json of a LeRobot dataset says, v3.0 or v2.1, checked before it is used."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from demoloop.datasets.errors import DatasetError, one_line
from demoloop.datasets.lerobot_layout import (
    ACTION,
    DATA_PATH,
    FILES_PER_CHUNK,
    GOAL,
    INFO,
    SCHEMA,
    STATE,
)
from demoloop.robot import Marks, RobotError, RobotSpec

# Not all that str.format knows: it would also fill any width, and so the memory.
_PLACE = re.compile(r"\{\w+(:0?\dd?)?\}")
MAX_WIDTH = 4096  # numbers in one step of readings or actions
MAX_NAME = 300  # characters of a feature's name; it becomes part of a file's


@dataclass(frozen=True)
class Feature:
    """One column, or one camera."""

    dtype: str
    shape: tuple[int, ...]
    names: tuple[str, ...]


@dataclass(frozen=True)
class Info:
    """What info.json says, checked."""

    version: str
    fps: int
    total_episodes: int
    chunks_size: int  # files per folder; only v2.1 needs it to find a file
    data_path: str
    video_path: str
    robot_type: str
    features: Mapping[str, Feature]
    spec: RobotSpec | None  # only a dataset of ours carries it
    marks: Marks | None = None  # what was pointed at in each episode; likewise

    @property
    def camera_keys(self) -> tuple[str, ...]:
        """Names of the video features, as in the file."""
        return tuple(key for key, feature in self.features.items() if feature.dtype == "video")


def picture_size(camera: Feature) -> tuple[int, int]:
    """Returns (height, width) [px]; some datasets say (3, height, width)."""
    channels_first = camera.names[:1] in {("channels",), ("channel",)}
    height, width = camera.shape[1:] if channels_first else camera.shape[:2]
    return height, width


def feature_names(info: Info, key: str) -> tuple[str, ...]:
    """Returns one name per dimension; numbered ones when the dataset gives none."""
    feature = info.features[key]
    size = math.prod(feature.shape)
    if len(feature.names) == size:
        return feature.names
    return tuple(f"{key.rsplit('.', 1)[-1]}_{n}" for n in range(size))


def read_info(root: Path) -> Info:
    """Reads meta/info.json; raises DatasetError in one sentence when it cannot be used."""
    path = root / INFO
    if not root.is_dir():
        raise DatasetError(f"no dataset at {root}: there is no such folder; check the path")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DatasetError(
            f"{root} is no LeRobot dataset: {INFO} is missing; point at the folder that holds "
            "meta, data and videos"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(
            f"{path} is no JSON ({one_line(error)}); it is cut short or damaged, copy it again"
        ) from error
    try:
        info = _parse_info(value)
    except KeyError as error:
        raise DatasetError(f"{path} lacks the key {error}; copy the dataset again") from error
    except (TypeError, ValueError, OverflowError, AttributeError, RobotError) as error:
        raise DatasetError(f"{path} cannot be understood: {one_line(error)}") from error
    if not info.version.startswith(("v3.", "v2.1")):
        raise DatasetError(
            f"{root} has layout {info.version[:20]!r}; v3.x and v2.1 can be read, "
            "convert it by lerobot"
        )
    _check_templates(path, info)
    _check_features(path, info)
    return info


# mypy cannot know the shape of a JSON file; everything is converted or raises.
def _parse_info(value: dict[str, object]) -> Info:
    features = value["features"]
    fps = value["fps"]
    if not isinstance(features, dict) or not isinstance(fps, int | float) or not fps > 0:
        raise ValueError("features must be an object and fps a positive number")
    if bad := [name for name in features if not name.isprintable() or len(name) > MAX_NAME]:
        raise ValueError(f"{bad[0][:MAX_NAME]!r} cannot be the name of a feature")
    ours = value.get("demoloop")
    spec, marks = None, None
    if isinstance(ours, dict):
        if ours.get("schema") != SCHEMA:
            raise ValueError(
                f"its demoloop schema is {ours.get('schema')}, this version reads {SCHEMA}"
            )
        spec = RobotSpec.from_json(ours["spec"])
        marks = _parse_marks(ours.get("marks"), features)
    return Info(
        version=str(value["codebase_version"]),
        fps=round(fps),
        total_episodes=int(str(value["total_episodes"])),
        chunks_size=int(str(value.get("chunks_size") or FILES_PER_CHUNK)),
        data_path=str(value["data_path"]),
        video_path=str(value.get("video_path") or ""),
        robot_type=str(value.get("robot_type") or "unknown"),
        features={str(name): _parse_feature(feature) for name, feature in features.items()},
        spec=spec,
        marks=marks,
    )


def _parse_marks(value: object, features: Mapping[str, object]) -> Marks | None:
    if value is None:
        return None
    if not isinstance(value, dict) or not isinstance(value.get("names"), list):
        raise ValueError("its marks are no object with names and a camera")
    marks = Marks.from_json(value)
    if GOAL not in features:
        raise ValueError(f"it names marks, and there is no feature {GOAL!r}")
    return marks


def _parse_feature(value: Mapping[str, object]) -> Feature:
    shape = value["shape"]
    if not isinstance(shape, list):
        raise ValueError(f"shape {shape!r} is not a list")
    return Feature(str(value["dtype"]), tuple(int(n) for n in shape), _flat(value.get("names")))


def _flat(names: object) -> tuple[str, ...]:
    """Flattens names: a list, in v2.1 at times a list in a list or {"motors": [...]}."""
    if isinstance(names, dict):
        names = list(names.values())
    if isinstance(names, list):
        return tuple(name for part in names for name in _flat(part))
    return () if names is None else (str(names),)


def _check_templates(path: Path, info: Info) -> None:
    names = ("chunk_index", "file_index")
    if info.version.startswith("v2."):
        names = ("episode_chunk", "episode_index")
    numbers = dict.fromkeys(names, 0)
    try:
        if any(set("{}") & set(_PLACE.sub("", it)) for it in (info.data_path, info.video_path)):
            raise ValueError("more than names and digits between braces")
        for template, extra in ((info.data_path, {}), (info.video_path, {"video_key": "camera"})):
            if {"/", ".."} & set(Path(template.format(**numbers, **extra)).parts):
                raise ValueError("leads out of the dataset")
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise DatasetError(
            f"{path}: data_path {info.data_path[:100]!r} or video_path {info.video_path[:100]!r} "
            f"is no template of {info.version[:10]} ({one_line(error)}); expected something like "
            f"{DATA_PATH!r}"
        ) from error


def _check_features(path: Path, info: Info) -> None:
    for key in (STATE, ACTION):
        if key not in info.features:
            raise DatasetError(
                f"{path}: no feature {key!r}; there are {', '.join(info.features)}. "
                "demoloop learns from joint readings and joint targets"
            )
        if not 1 <= math.prod(info.features[key].shape) <= MAX_WIDTH:
            raise DatasetError(
                f"{path}: {key!r} has shape {str(info.features[key].shape)[:50]}, expected 1 to "
                f"{MAX_WIDTH} numbers a step; copy the dataset again"
            )
    inside = [key for key, feature in info.features.items() if feature.dtype == "image"]
    if inside:
        raise DatasetError(
            f"{path}: the pictures of {inside[0]!r} stand in the data files; demoloop reads "
            "cameras from video, let lerobot encode them first"
        )
    for key in info.camera_keys:
        if len(info.features[key].shape) != 3:
            raise DatasetError(
                f"{path}: camera {key!r} has shape {list(info.features[key].shape)}, expected "
                "[height, width, channels]; copy the dataset again"
            )
    if info.camera_keys and not info.video_path:
        raise DatasetError(f"{path}: cameras but no video_path; copy the dataset again")
