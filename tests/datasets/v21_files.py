"""Writes small LeRobot v2.1 datasets of others."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from demoloop.robot.video import VideoWriter

STEPS = 5
DATA = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
VIDEO = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"
TOP = "observation.images.top"


def bars(number: int) -> np.ndarray:
    """(32, 48, 3): bar b is white if bit b of `number` is set, as the fixture `numbers` reads."""
    picture = np.zeros((32, 48, 3), np.uint8)
    picture[:16] = np.repeat((number >> np.arange(12)) & 1, 4)[None, :, None] * 255
    return picture


def column(episode: int, width: int, shift: float = 0.0) -> np.ndarray:
    return (np.arange(STEPS * width).reshape(STEPS, width) / 7 + episode + shift).astype(np.float32)


def write_v21(root: Path, **info: Any) -> Path:
    """Three episodes of a two-jointed arm with one camera; `info` replaces entries."""
    value: dict[str, Any] = {
        "codebase_version": "v2.1",
        "robot_type": "koch",
        "fps": 30,
        "total_episodes": 3,
        "chunks_size": 1000,
        "data_path": DATA,
        "video_path": VIDEO,
        "features": {
            "observation.state": {"dtype": "float32", "shape": [2], "names": ["hip", "knee"]},
            "action": {"dtype": "float32", "shape": [2], "names": ["hip", "knee"]},
            TOP: {"dtype": "video", "shape": [32, 48, 3], "names": ["height", "width", "channel"]},
            "timestamp": {"dtype": "float32", "shape": [1], "names": None},
            "episode_index": {"dtype": "int64", "shape": [1], "names": None},
        },
    }
    features = info.pop("features", {})
    value |= info
    value["features"] |= features
    (root / "meta").mkdir(parents=True)
    (root / "meta/info.json").write_text(json.dumps(value))
    rows = [{"episode_index": e, "length": STEPS, "tasks": [f"task {e}"]} for e in range(3)]
    (root / "meta/episodes.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for e in range(3):
        write_data(root, e, {"observation.state": column(e, 2), "action": column(e, 2, 0.5)})
        video = root / VIDEO.format(episode_chunk=0, video_key=TOP, episode_index=e)
        video.parent.mkdir(parents=True, exist_ok=True)
        with VideoWriter(video, 30, 32, 48, pixel_format="yuv444p") as writer:
            for t in range(STEPS):
                writer.add(bars(100 * e + t))
    return root


def write_data(root: Path, episode: int, columns: dict[str, Any]) -> Path:
    path = root / DATA.format(episode_chunk=0, episode_index=episode)
    path.parent.mkdir(parents=True, exist_ok=True)
    steps = {"timestamp": [t / 30 for t in range(STEPS)], "episode_index": [episode] * STEPS}
    lists = {
        key: value.tolist() if isinstance(value, np.ndarray) else value
        for key, value in columns.items()
    }
    types = {
        key: pa.list_(pa.float32()) if isinstance(value, np.ndarray) and value.ndim == 2 else None
        for key, value in columns.items()
    }
    arrays = {key: pa.array(value, types.get(key)) for key, value in {**lists, **steps}.items()}
    pq.write_table(pa.table(arrays), path)
    return path


def edit_info(root: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    path = root / "meta/info.json"
    info = json.loads(path.read_text())
    edit(info)
    path.write_text(json.dumps(info))
