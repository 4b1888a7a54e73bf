"""What one robot is: its joints, its limits, its cameras, its control rate."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from demoloop.robot.errors import RobotError

Unit = Literal["rad", "m", "opening"]  # opening: a gripper, 0 closed .. 1 open


@dataclass(frozen=True)
class JointSpec:
    """One dimension of an action: a joint, or a gripper counted from 0 closed to 1 open."""

    name: str
    low: float  # [unit]
    high: float  # [unit]
    max_velocity: float  # [unit/s]
    max_acceleration: float  # [unit/s^2]
    unit: Unit = "rad"

    def __post_init__(self) -> None:
        _make_float(self, "low", "high", "max_velocity", "max_acceleration")


@dataclass(frozen=True)
class CameraSpec:
    """One camera as the policy sees it: (height, width, 3) uint8 RGB."""

    name: str
    height: int  # px
    width: int  # px


@dataclass(frozen=True)
class RobotSpec:
    """One embodiment. Frozen: whoever holds a spec may trust it for the whole session."""

    name: str
    joints: tuple[JointSpec, ...]  # in the order of an action; a gripper is last
    cameras: tuple[CameraSpec, ...]
    control_hz: float
    readings: tuple[str, ...] = ()  # names of the proprioception, where it is not the usual one

    def __post_init__(self) -> None:
        _make_float(self, "control_hz")

    @property
    def action_dim(self) -> int:
        """How many numbers one action has."""
        return len(self.joints)

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Names in the order of an action."""
        return tuple(joint.name for joint in self.joints)

    @property
    def camera_names(self) -> tuple[str, ...]:
        """Names in the order the spec lists them."""
        return tuple(camera.name for camera in self.cameras)

    @property
    def proprioception_names(self) -> tuple[str, ...]:
        """Names of `Observation.proprioception`: all positions, then all velocities.

        A recording of somebody else's robot may have others, which are its `readings`.
        """
        return self.readings or self.position_names + tuple(
            f"{name}.vel" for name in self.joint_names
        )

    @property
    def position_names(self) -> tuple[str, ...]:
        """What the readings of the joints' positions are called, in the order of an action."""
        return tuple(f"{name}.pos" for name in self.joint_names)

    @cached_property
    def low(self) -> NDArray[np.float32]:
        """Lower position limits, (action_dim,) [unit of each joint]."""
        return np.array([joint.low for joint in self.joints], np.float32)

    @cached_property
    def high(self) -> NDArray[np.float32]:
        """Upper position limits, (action_dim,) [unit of each joint]."""
        return np.array([joint.high for joint in self.joints], np.float32)

    def camera(self, name: str) -> CameraSpec:
        """Returns the camera called `name`; raises RobotError that lists those there are."""
        for camera in self.cameras:
            if camera.name == name:
                return camera
        raise RobotError(
            f"{self.name} has no camera {name!r}; it has {', '.join(self.camera_names)}"
        )

    def to_json(self) -> dict[str, Any]:
        """Returns plain JSON values that `from_json` turns back into an equal spec."""
        value = asdict(self)
        if not self.readings:
            del value["readings"]  # a spec without keeps the fingerprint it always had
        return value

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> RobotSpec:
        """Reads what `to_json` wrote; raises RobotError that says what is missing or unknown."""
        try:
            joints = tuple(JointSpec(**joint) for joint in value["joints"])
            cameras = tuple(CameraSpec(**camera) for camera in value["cameras"])
            names = [joint.name for joint in joints] + [camera.name for camera in cameras]
            if not all(isinstance(name, str) for name in names):
                raise TypeError("the name of a joint or a camera is no text")
            if not all(type(size) is int for it in cameras for size in (it.height, it.width)):
                raise TypeError("a camera's height and width are whole numbers")
            return cls(
                name=str(value["name"]),
                joints=joints,
                cameras=cameras,
                control_hz=float(value["control_hz"]),
                readings=tuple(str(name) for name in value.get("readings", ())),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise RobotError(f"not a robot spec: {error}") from error

    def fingerprint(self) -> str:
        """16 hex digits that change when anything in the spec changes."""
        text = json.dumps(self.to_json(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _make_float(spec: JointSpec | RobotSpec, *names: str) -> None:
    """30 and 30.0 are equal, but not in JSON: the fingerprint would tell them apart."""
    for name in names:
        object.__setattr__(spec, name, float(getattr(spec, name)))
