"""The data file of one episode."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from demoloop.datasets import lerobot_layout as layout
from demoloop.datasets.step_log import Steps, goal_rows


def data_table(
    steps: Steps, *, fps: int, episode: int, first_frame: int, task_index: int
) -> pa.Table:
    """Returns the data file of one episode, columns in the order of info.json."""
    frames = np.arange(len(steps), dtype=np.int64)
    events = [""] * len(steps)
    for step, what in steps.events:
        at = min(step, len(steps) - 1)  # noted after the last step
        events[at] = f"{events[at]}; {what}" if events[at] else what
    columns = {
        layout.STATE: _vectors(steps.proprioception),
        layout.ACTION: _vectors(steps.actions),
    }
    if steps.goal is not None:
        columns[layout.GOAL] = _vectors(goal_rows(steps))
    columns[layout.TIME] = pa.array(steps.time)
    for camera, times in steps.image_times.items():
        columns[layout.CAMERA_TIME + camera] = pa.array(times)
    columns[layout.TAKEOVER] = pa.array(steps.is_takeover)
    columns[layout.EVENT] = pa.array(events, pa.string())
    columns["timestamp"] = pa.array((frames / fps).astype(np.float32))
    columns["frame_index"] = pa.array(frames)
    columns["episode_index"] = pa.array(np.full_like(frames, episode))
    columns["index"] = pa.array(frames + first_frame)
    columns["task_index"] = pa.array(np.full_like(frames, task_index))
    return pa.table(columns)


def _vectors(values: NDArray[np.float32]) -> pa.Array:
    flat = pa.array(np.ascontiguousarray(values, np.float32).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
