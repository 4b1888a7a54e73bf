"""The numbers of an episode while it is being recorded: a log with one record per step."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from demoloop.datasets.errors import DatasetError, one_line
from demoloop.datasets.framing import LogWriter, read_log
from demoloop.robot import Action, Observation, RobotError, RobotSpec

STEPS_FILE = "steps.log"
_HEADER, _STEP, _EVENT, _GOAL = b"H", b"S", b"E", b"G"
_FIXED = struct.Struct("<d?")  # when the joints were read, who decided
_PICTURE = struct.Struct("<dB")  # when it was taken, what became of it


_UNREADABLE = (OSError, KeyError, TypeError, ValueError, OverflowError, RecursionError, RobotError)


class Picture(IntEnum):
    """What became of one camera's picture of one step."""

    NEW = 0
    REPEATED = 1  # the camera had none since the step before, which is shown again
    DROPPED = 2  # there was one, and no room in the queue; the one before is shown again


@dataclass(frozen=True)
class Steps:
    """An episode without its pictures, T steps."""

    spec: RobotSpec
    uuid: str
    task: str
    seed: int | None
    time: NDArray[np.float64]  # (T,) s
    proprioception: NDArray[np.float32]  # (T, P)
    actions: NDArray[np.float32]  # (T, action_dim)
    image_times: Mapping[str, NDArray[np.float64]]  # camera -> (T,) s
    pictures: Mapping[str, NDArray[np.uint8]]  # camera -> (T,) Picture
    is_takeover: NDArray[np.bool_]  # (T,)
    events: tuple[tuple[int, str], ...]  # (step, what)
    goal: NDArray[np.float32] | None = None  # (num_marks, 2), of all steps alike

    def __len__(self) -> int:
        """Number of steps."""
        return len(self.actions)

    def up_to(self, length: int) -> Steps:
        """Returns the first `length` steps."""
        return replace(
            self,
            time=self.time[:length],
            proprioception=self.proprioception[:length],
            actions=self.actions[:length],
            image_times={name: times[:length] for name, times in self.image_times.items()},
            pictures={name: kinds[:length] for name, kinds in self.pictures.items()},
            is_takeover=self.is_takeover[:length],
        )


class StepLog:
    """Writes the steps of one episode."""

    def __init__(self, folder: Path, spec: RobotSpec) -> None:
        self._log = LogWriter(folder / STEPS_FILE)
        self._spec = spec

    def open(self, uuid: str, task: str, seed: int | None) -> None:
        """Creates the log and says whose it is."""
        self._log.open()
        header = {"spec": self._spec.to_json(), "uuid": uuid, "task": task, "seed": seed}
        self._log.append(_HEADER + json.dumps(header).encode())

    def pack_step(
        self,
        observation: Observation,
        action: Action,
        pictures: Mapping[str, tuple[float, Picture]],
        is_takeover: bool,
    ) -> bytes:
        """Returns the record of one step."""
        return b"".join(
            [
                _STEP,
                _FIXED.pack(observation.time, is_takeover),
                observation.proprioception.astype("<f4").tobytes(),
                action.astype("<f4").tobytes(),
                *(_PICTURE.pack(*pictures[name]) for name in self._spec.camera_names),
            ]
        )

    def pack_event(self, step: int, what: str) -> bytes:
        """Returns the record of something that happened."""
        return _EVENT + json.dumps([step, what]).encode()

    def pack_goal(self, goal: NDArray[np.float32]) -> bytes:
        """Returns the record of what was pointed at, (num_marks, 2)."""
        return _GOAL + json.dumps(goal.tolist()).encode()

    def append(self, record: bytes) -> None:
        """Appends a packed record."""
        self._log.append(record)

    def sync(self) -> None:
        """Returns when all records are on the disk."""
        self._log.sync()

    def close(self) -> None:
        """Closes the log."""
        self._log.close()


def read_steps(folder: Path) -> Steps:
    """Reads the steps back, up to the first that is damaged.

    Raises:
        DatasetError: There is no log, or it does not even say whose it is.
    """
    path = folder / STEPS_FILE
    try:
        records = list(read_log(path))
        header = json.loads(records[0].removeprefix(_HEADER)) if records else None
        if not isinstance(header, dict):
            raise DatasetError(f"{path} does not say what it is of; nothing can be recovered")
        spec = RobotSpec.from_json(header["spec"])
        if any("/" in name for name in spec.camera_names):
            raise DatasetError(f"{path} names a camera with a '/'; nothing can be recovered")
        uuid, task = str(header["uuid"]), str(header["task"])
        seed = None if header["seed"] is None else int(header["seed"])
        steps = [record for record in records[1:] if record[:1] == _STEP]
        noted = [json.loads(record[1:]) for record in records[1:] if record[:1] == _EVENT]
        events = tuple((int(step), str(what)) for step, what in noted)
        marked = [json.loads(record[1:]) for record in records[1:] if record[:1] == _GOAL]
        goal = np.array(marked[0], np.float32).reshape(-1, 2) if marked else None
    except _UNREADABLE as error:
        raise DatasetError(
            f"{path} cannot be read ({one_line(error)}); nothing can be recovered"
        ) from error
    table = _table(spec, steps, path)
    return Steps(
        spec=spec,
        uuid=uuid,
        task=task,
        seed=seed,
        time=table["time"].astype(np.float64),
        proprioception=table["proprioception"].astype(np.float32),
        actions=table["action"].astype(np.float32),
        image_times={name: table[f"time of {name}"] for name in spec.camera_names},
        pictures={name: table[f"kind of {name}"] for name in spec.camera_names},
        is_takeover=table["takeover"].astype(np.bool_),
        events=events,
        goal=goal,
    )


def goal_rows(steps: Steps) -> NDArray[np.float32]:
    """Returns what was pointed at as one row per step, (T, 2 * num_marks)."""
    assert steps.goal is not None, "nobody pointed"
    return np.tile(steps.goal.reshape(1, -1), (len(steps), 1))


def content_hash(steps: Steps, videos: Mapping[str, str]) -> str:
    """Returns the sha256 of what was recorded: the numbers, and the hashes of the videos."""
    digest = hashlib.sha256()
    for values in (steps.time, steps.proprioception, steps.actions, *steps.image_times.values()):
        digest.update(np.ascontiguousarray(values).tobytes())
    if steps.goal is not None:
        digest.update(np.ascontiguousarray(steps.goal).tobytes())
    for camera, sha256 in videos.items():
        digest.update(f"{camera} {sha256}".encode())
    return digest.hexdigest()


def _table(spec: RobotSpec, steps: list[bytes], path: Path) -> NDArray[np.void]:
    """Returns the steps as one structured array."""
    fields: list[tuple[object, ...]] = [
        ("tag", "S1"),
        ("time", "<f8"),
        ("takeover", "?"),
        ("proprioception", "<f4", (len(spec.proprioception_names),)),
        ("action", "<f4", (spec.action_dim,)),
    ]
    for name in spec.camera_names:
        fields += [(f"time of {name}", "<f8"), (f"kind of {name}", "u1")]
    row = np.dtype(fields)  # packed, as the struct formats with "<" are
    if any(len(step) != row.itemsize for step in steps):
        raise DatasetError(f"{path} holds a step of another robot; nothing can be recovered")
    return np.frombuffer(b"".join(steps), row)
