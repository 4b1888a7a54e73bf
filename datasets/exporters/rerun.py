"""Recordings for the Rerun viewer: a folder with one .rrd file per episode.

`rerun FOLDER/*.rrd` shows them. Each has cameras (JPEG: for looking at, not for training), a
curve for every reading and command, and events, on the timelines `step` and `time` [s].
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from demoloop.datasets.exporters.steps import spec_of, steps_of
from demoloop.datasets.lerobot_files import EpisodeInfo
from demoloop.datasets.lerobot_read import Dataset
from demoloop.robot.jpeg import to_jpeg

if TYPE_CHECKING:
    import rerun

QUALITY = 95  # of a JPEG, as cv2 counts


def export(dataset: Dataset, out: Path, progress: bool) -> None:
    """Writes the dataset to the new folder `out`."""
    import rerun

    out.mkdir()
    episodes = tqdm(dataset.episodes, "export rerun", unit="episode", disable=not progress)
    for i, info in enumerate(episodes):
        recording = rerun.RecordingStream(
            dataset.spec.name, recording_id=info.uuid or f"{dataset.root.name}-{info.index}"
        )
        recording.save(out / f"episode_{info.index:06d}.rrd")
        try:
            _write(recording, dataset, i, info)
        finally:
            recording.flush()
            recording.disconnect()


def _write(recording: rerun.RecordingStream, dataset: Dataset, i: int, info: EpisodeInfo) -> None:
    import rerun

    steps = steps_of(dataset, i)
    since = steps.time - steps.time[0]
    about = {
        "task": info.task,
        "success": info.success,
        "seed": info.seed,
        "uuid": info.uuid,
        "tags": info.tags,
        "split": info.split,
        "begins": float(steps.time[0]),  # s; the timeline `time` counts from here
    }
    recording.send_recording_name(f"episode {info.index}: {info.task}")
    text = rerun.TextDocument(json.dumps(about, ensure_ascii=False), media_type="application/json")
    recording.log("episode", text, static=True)
    spec = spec_of(dataset)
    _write_curves(
        recording, "proprioception", spec.proprioception_names, steps.proprioception, since
    )
    _write_curves(recording, "action", spec.joint_names, steps.actions, since)
    takeover = steps.is_takeover[:, None].astype(np.float64)
    _write_curves(recording, "takeover", ("",), takeover, since)
    for camera in spec.camera_names:
        pictures = dataset.frames(i, camera)
        for step, (picture, time) in enumerate(
            zip(pictures, steps.image_times[camera], strict=True)
        ):
            _set_time(recording, step, float(time - steps.time[0]))
            recording.log(f"camera/{camera}", _jpeg(picture))
    for step, what in steps.events:
        _set_time(recording, step, float(since[step]))
        recording.log("events", rerun.TextLog(what))


def _write_curves(
    recording: rerun.RecordingStream,
    what: str,
    names: tuple[str, ...],
    values: np.ndarray[Any, np.dtype[Any]],
    since: np.ndarray[Any, np.dtype[np.float64]],
) -> None:
    """Writes values (T, D), one curve per column."""
    import rerun

    timelines = [
        rerun.TimeColumn("step", sequence=np.arange(len(values))),
        rerun.TimeColumn("time", duration=since),
    ]
    for column, name in enumerate(names):
        path = rerun.new_entity_path([what, name] if name else [what])
        curve = rerun.Scalars.columns(scalars=values[:, column].astype(np.float64))
        recording.send_columns(path, timelines, curve)


def _set_time(recording: rerun.RecordingStream, step: int, since: float) -> None:
    recording.set_time("step", sequence=step)
    recording.set_time("time", duration=since)


def _jpeg(picture: np.ndarray[Any, np.dtype[np.uint8]]) -> rerun.EncodedImage:
    import rerun

    return rerun.EncodedImage(contents=to_jpeg(picture, QUALITY), media_type="image/jpeg")
