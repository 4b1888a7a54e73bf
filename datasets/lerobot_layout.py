"""Where things are in a LeRobot dataset, and what its info.json says.

Written: v3.0, one data file and one video per camera per episode. Read: v3.0 and v2.1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from demoloop.datasets.errors import DatasetError
from demoloop.robot import RobotError, RobotSpec
from demoloop.robot.video import CRF, KEYFRAME_EVERY, PixelFormat

SCHEMA = 1
"""Version of what we add to LeRobot's layout; stands under "demoloop" in info.json."""

STATE, ACTION = "observation.state", "action"
IMAGES = "observation.images."
# Names without "observation" or "image": LeRobot would feed or normalise them as such.
TIME, CAMERA_TIME = "demoloop.time", "demoloop.camera_time."
SUCCESS, SEED = "demoloop/success", "demoloop/seed"

FILES_PER_CHUNK = 1000
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
INFO, STATS, TASKS = Path("meta/info.json"), Path("meta/stats.json"), Path("meta/tasks.parquet")
EPISODES = Path("meta/episodes")
STAGING, LOCK = Path(".staging"), Path(".lock")

PIXEL_FORMAT: PixelFormat = "yuv444p"  # why: see VideoWriter

DEFAULT_FEATURES = {
    "timestamp": "float32",  # frame_index / fps; real capture times stand in our own columns
    "frame_index": "int64",
    "episode_index": "int64",
    "index": "int64",
    "task_index": "int64",
}


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
    data_path: str
    video_path: str
    robot_type: str
    features: Mapping[str, Feature]
    spec: RobotSpec | None  # only a dataset of ours carries it

    @property
    def camera_keys(self) -> tuple[str, ...]:
        """Names of the video features, as in the file."""
        return tuple(key for key, feature in self.features.items() if feature.dtype == "video")


def camera_name(key: str) -> str:
    """Returns `front` for observation.images.front."""
    return key.removeprefix(IMAGES).removeprefix("observation.")


def place(index: int) -> tuple[int, int]:
    """Returns chunk and file number of the index-th file."""
    return divmod(index, FILES_PER_CHUNK)


def data_file(root: Path, episode: int) -> Path:
    """Where our data of one episode is."""
    chunk, file = place(episode)
    return root / DATA_PATH.format(chunk_index=chunk, file_index=file)


def video_file(root: Path, camera: str, episode: int) -> Path:
    """Where our video of one camera and episode is."""
    chunk, file = place(episode)
    return root / VIDEO_PATH.format(video_key=IMAGES + camera, chunk_index=chunk, file_index=file)


def info_json(spec: RobotSpec, episodes: int, frames: int, tasks: int) -> str:
    """Returns our info.json, keys in LeRobot's order, ours last."""

    def numbers(names: tuple[str, ...], dtype: str = "float32") -> dict[str, object]:
        return {"dtype": dtype, "shape": [len(names)], "names": list(names)}

    def scalar(dtype: str) -> dict[str, object]:
        return {"dtype": dtype, "shape": [1], "names": None}

    fps = int(spec.control_hz)
    features: dict[str, object] = {
        STATE: numbers(spec.proprioception_names),
        ACTION: numbers(spec.joint_names),
    }
    for camera in spec.cameras:
        features[IMAGES + camera.name] = {
            "dtype": "video",
            "shape": [camera.height, camera.width, 3],
            "names": ["height", "width", "channels"],
            "info": {
                "video.height": camera.height,
                "video.width": camera.width,
                "video.codec": "h264",
                "video.pix_fmt": PIXEL_FORMAT,
                "video.fps": fps,
                "video.channels": 3,
                "has_audio": False,
                "video.g": KEYFRAME_EVERY,
                "video.crf": CRF,
                "is_depth_map": False,
            },
        }
    features[TIME] = scalar("float64")
    features |= {CAMERA_TIME + name: scalar("float64") for name in spec.camera_names}
    features |= {name: scalar(dtype) for name, dtype in DEFAULT_FEATURES.items()}
    info = {
        "codebase_version": "v3.0",
        "fps": fps,
        "features": features,
        "total_episodes": episodes,
        "total_frames": frames,
        "total_tasks": tasks,
        "chunks_size": FILES_PER_CHUNK,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "data_path": DATA_PATH,
        "video_path": VIDEO_PATH if spec.cameras else None,
        "robot_type": spec.name,
        "splits": {"train": f"0:{episodes}"},
        "demoloop": {"schema": SCHEMA, "spec": spec.to_json()},
    }
    return json.dumps(info, indent=4, ensure_ascii=False)


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
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"{path} is no JSON ({error}); it is cut short or damaged, copy it again"
        ) from error
    try:
        info = _parse_info(value)
    except KeyError as error:
        raise DatasetError(f"{path} lacks the key {error}; copy the dataset again") from error
    except (TypeError, ValueError, AttributeError, RobotError) as error:
        raise DatasetError(f"{path} cannot be understood: {error}") from error
    if not info.version.startswith(("v3.", "v2.1")):
        raise DatasetError(
            f"{root} has layout {info.version}; v3.x and v2.1 can be read, convert it by lerobot"
        )
    _check_templates(path, info)
    return info


# mypy cannot know the shape of a JSON file; everything is converted or raises.
def _parse_info(value: dict[str, object]) -> Info:
    features = value["features"]
    fps = value["fps"]
    if not isinstance(features, dict) or not isinstance(fps, int | float) or not fps > 0:
        raise ValueError("features must be an object and fps a positive number")
    ours = value.get("demoloop")
    spec = None
    if isinstance(ours, dict):
        if ours.get("schema") != SCHEMA:
            raise ValueError(
                f"its demoloop schema is {ours.get('schema')}, this version reads {SCHEMA}"
            )
        spec = RobotSpec.from_json(ours["spec"])
    return Info(
        version=str(value["codebase_version"]),
        fps=round(fps),
        total_episodes=int(str(value["total_episodes"])),
        data_path=str(value["data_path"]),
        video_path=str(value.get("video_path") or ""),
        robot_type=str(value.get("robot_type") or "unknown"),
        features={str(name): _parse_feature(feature) for name, feature in features.items()},
        spec=spec,
    )


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
    try:
        info.data_path.format(chunk_index=0, file_index=0, episode_chunk=0, episode_index=0)
        info.video_path.format(
            chunk_index=0, file_index=0, episode_chunk=0, episode_index=0, video_key="camera"
        )
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise DatasetError(
            f"{path}: data_path {info.data_path!r} or video_path {info.video_path!r} is no "
            f"template of {info.version} ({error!r}); expected something like {DATA_PATH!r}"
        ) from error
    for key in (STATE, ACTION):
        if key not in info.features:
            raise DatasetError(
                f"{path}: no feature {key!r}; there are {', '.join(info.features)}. "
                "demoloop learns from joint readings and joint targets"
            )
    if info.camera_keys and not info.video_path:
        raise DatasetError(f"{path}: cameras but no video_path; copy the dataset again")
