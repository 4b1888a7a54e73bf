"""Where things are in a LeRobot v3.0 dataset of ours, and the info.json that says so.

One data file, and one video per camera, for each episode.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from demoloop.robot import Marks, RobotSpec
from demoloop.robot.video import PixelFormat

SCHEMA = 1
"""Version of what we add to LeRobot's layout; stands under "demoloop" in info.json."""

STATE, ACTION = "observation.state", "action"
IMAGES = "observation.images."
GOAL = "observation.goal"  # what a person points at, the same in each row of an episode
# Names without "observation" or "image": LeRobot would feed or normalise them as such.
TIME, CAMERA_TIME = "demoloop.time", "demoloop.camera_time."
TAKEOVER, EVENT = "demoloop.takeover", "demoloop.event"
SUCCESS, SEED = "demoloop/success", "demoloop/seed"
UUID, SHA256 = "demoloop/uuid", "demoloop/sha256"
RECOVERED, DROPS = "demoloop/recovered", "demoloop/drops"

FILES_PER_CHUNK = 1000
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
INFO, STATS, TASKS = Path("meta/info.json"), Path("meta/stats.json"), Path("meta/tasks.parquet")
EPISODES = Path("meta/episodes")
# What is ours and not LeRobot's.
OURS = Path("demoloop")
LOCK, JOURNAL, EDITS = OURS / "lock", OURS / "journal.jsonl", OURS / "edits.jsonl"
OPEN, TRASH, BALLAST = OURS / "open", OURS / "trash", OURS / "ballast"

KEYFRAME_EVERY = 2  # frames: a random read decodes at most two


class VideoFormat(NamedTuple):
    """How the pictures of a camera are encoded."""

    pixels: PixelFormat
    crf: int


def video_format(height: int, width: int) -> VideoFormat:
    """Returns what keeps enough of a picture for its size.

    A small picture keeps its colours whole (why: see VideoWriter). With crf 14, against renders
    of 96 px, all but 5 % of the frames of a moving wrist camera keep 38 dB (mean 41, a fixed
    camera 47) at 1.6-2.6 kB per frame; with 18 the wrist's mean falls to 38 dB. A camera of 240
    lines and more sends halved colours itself, so nothing is lost by halving them, and every
    browser plays them: 42 dB at 480x640 and 8.5 kB per frame, for half of the time.
    """
    if min(height, width) < 240 or height % 2 or width % 2:
        return VideoFormat("yuv444p", 14)
    return VideoFormat("yuv420p", 20)


DEFAULT_FEATURES = {
    "timestamp": "float32",  # frame_index / fps; real capture times stand in our own columns
    "frame_index": "int64",
    "episode_index": "int64",
    "index": "int64",
    "task_index": "int64",
}


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


def info_json(
    spec: RobotSpec, episodes: int, frames: int, tasks: int, marks: Marks | None = None
) -> str:
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
    if marks is not None:
        features[GOAL] = numbers(marks.coordinates)
    for camera in spec.cameras:
        pixels, crf = video_format(camera.height, camera.width)
        features[IMAGES + camera.name] = {
            "dtype": "video",
            "shape": [camera.height, camera.width, 3],
            "names": ["height", "width", "channels"],
            "info": {
                "video.height": camera.height,
                "video.width": camera.width,
                "video.codec": "h264",
                "video.pix_fmt": pixels,
                "video.fps": fps,
                "video.channels": 3,
                "has_audio": False,
                "video.g": KEYFRAME_EVERY,
                "video.crf": crf,
                "is_depth_map": False,
            },
        }
    features[TIME] = scalar("float64")
    features |= {CAMERA_TIME + name: scalar("float64") for name in spec.camera_names}
    features |= {TAKEOVER: scalar("bool"), EVENT: scalar("string")}
    features |= {name: scalar(dtype) for name, dtype in DEFAULT_FEATURES.items()}
    ours: dict[str, object] = {"schema": SCHEMA, "spec": spec.to_json()}
    if marks is not None:
        ours["marks"] = asdict(marks)
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
        "demoloop": ours,
    }
    return json.dumps(info, indent=4, ensure_ascii=False)
