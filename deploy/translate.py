"""Observations and chunks as messages, and back, checked against the robot's spec."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from demoloop.deploy.chunks import ActionChunk
from demoloop.deploy.errors import WireError
from demoloop.deploy.wire import Array, ChunkBody, MarksBody, Message, ObservationBody, frames_of
from demoloop.robot import Marks, Observation, RobotError, RobotSpec
from demoloop.robot.interface import LIMIT_TOLERANCE
from demoloop.robot.marked import MAX_MARKS

_BYTE: np.dtype[Any] = np.dtype(np.uint8)
_FLOAT: np.dtype[Any] = np.dtype(np.float32)


def to_nanoseconds(time: float) -> int:
    """Returns seconds as the header counts them."""
    return max(0, round(time * 1e9))


def observation_message(observation: Observation, session: int, seq: int) -> Message:
    """Wraps one look, the `seq`-th of its session."""
    arrays: dict[str, Array] = {
        "proprioception": np.asarray(observation.proprioception, np.float32)
    }
    arrays |= {f"image.{name}": image for name, image in observation.images.items()}
    if observation.goal is not None:
        arrays["goal"] = np.asarray(observation.goal, np.float32)
    body = ObservationBody(frames_of(arrays), dict(observation.image_times))
    time_ns = to_nanoseconds(observation.time)
    return Message(body, session, seq, time_ns=time_ns, arrays=arrays)


def observation_of(message: Message, spec: RobotSpec) -> Observation:
    """Unwraps one look; raises WireError when it is not what `spec`'s robot sees."""
    arrays = dict(message.arrays)
    goal = arrays.pop("goal", None)
    if goal is not None and not _is_goal(goal):
        raise WireError(
            f"marks are 1 to {MAX_MARKS} pairs of float32 from 0 to 1, got {goal.dtype} of shape "
            f"{goal.shape}"
        )
    shape: tuple[int, ...] = (len(spec.proprioception_names),)
    is_sound = len(arrays) == 1 + len(spec.cameras) and _is(
        arrays.get("proprioception"), shape, _FLOAT
    )
    for camera in spec.cameras:
        shape = (camera.height, camera.width, 3)
        is_sound = is_sound and _is(arrays.get(f"image.{camera.name}"), shape, _BYTE)
    if not is_sound:
        got = {name: (array.shape, str(array.dtype)) for name, array in arrays.items()}
        raise WireError(f"{spec.name} sends frames {_frames_of(spec)}, got {got}")
    body = message.body
    assert isinstance(body, ObservationBody)
    if set(body.image_times) != set(spec.camera_names):
        raise WireError(f"image times must be of {spec.camera_names}, got {[*body.image_times]}")
    images: dict[str, NDArray[np.uint8]] = {
        name: message.arrays[f"image.{name}"].astype(np.uint8, copy=False)
        for name in spec.camera_names
    }
    proprioception = message.arrays["proprioception"].astype(np.float32, copy=False)
    told = None if goal is None else goal.astype(np.float32, copy=False)
    return Observation(message.time_ns * 1e-9, proprioception, images, body.image_times, told)


def chunk_message(
    chunk: ActionChunk, inference_ms: float, question: Message, seq: int, up_to: int = 0
) -> Message:
    """Wraps the answer to the observation in `question`; `up_to` is the robot's new credit."""
    arrays: dict[str, Array] = {"actions": np.asarray(chunk.actions, np.float32)}
    body = ChunkBody(frames_of(arrays), inference_ms, up_to)
    return Message(body, question.session, seq, question.seq, question.time_ns, arrays)


def chunk_of(message: Message, spec: RobotSpec, time: float) -> ActionChunk:
    """Unwraps the answer to what was seen at `time`; raises WireError beyond a joint's limits."""
    actions = message.arrays.get("actions")
    if actions is None or actions.ndim != 2 or actions.shape[1] != spec.action_dim:
        shape = None if actions is None else actions.shape
        raise WireError(f"a chunk for {spec.name} is (horizon, {spec.action_dim}), got {shape}")
    clipped = actions.clip(spec.low, spec.high)
    beyond = np.abs(actions - clipped)
    if not beyond.max() <= LIMIT_TOLERANCE:  # also catches nan
        step, joint = np.argwhere(~(beyond <= LIMIT_TOLERANCE))[0]
        raise WireError(
            f"step {step} of a chunk moves {spec.joints[joint].name} to "
            f"{actions[step, joint]:.4f}, outside [{spec.low[joint]:.4f}, {spec.high[joint]:.4f}]"
        )
    return ActionChunk(clipped, time)


def marks_body(marks: Marks | None) -> MarksBody | None:
    """Returns what a policy must be pointed at, for its Welcome."""
    return None if marks is None else MarksBody(marks.names, marks.camera)


def marks_of(body: MarksBody | None) -> Marks | None:
    """Unwraps what a Welcome says of marks; raises WireError when two have one name."""
    try:
        return None if body is None else Marks(body.names, body.camera)
    except RobotError as error:
        raise WireError(str(error)) from error


def _is(array: Array | None, shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    return array is not None and array.shape == shape and array.dtype == dtype


def _is_goal(goal: Array) -> bool:
    is_pairs = goal.ndim == 2 and goal.shape[1] == 2 and len(goal) <= MAX_MARKS
    return is_pairs and goal.dtype == _FLOAT and bool(((goal >= 0) & (goal <= 1)).all())


def _frames_of(spec: RobotSpec) -> dict[str, tuple[tuple[int, ...], str]]:
    frames: dict[str, tuple[tuple[int, ...], str]] = {
        f"image.{camera.name}": ((camera.height, camera.width, 3), "uint8")
        for camera in spec.cameras
    }
    return {**frames, "proprioception": ((len(spec.proprioception_names),), "float32")}
