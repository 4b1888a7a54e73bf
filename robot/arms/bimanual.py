"""Two arms as one: a robot of two robots, so that everything that takes one takes both."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeVar

import numpy as np

from demoloop.robot.arm import Arm, Health
from demoloop.robot.errors import RobotError
from demoloop.robot.interface import Action, Observation
from demoloop.robot.spec import RobotSpec

LEFT, RIGHT = "left", "right"
T = TypeVar("T")


class Bimanual:
    """Two arms that are seen, moved, switched on and switched off together.

    Joints and cameras are called `left_...` and `right_...`; an action is the left arm's, then the
    right arm's. When one arm fails, both are told to stay where they are before the error goes on.
    """

    def __init__(self, left: Arm, right: Arm) -> None:
        """Stores two arms that are not connected yet."""
        self._arms = {LEFT: left, RIGHT: right}
        self._spec = bimanual_spec(left.spec, right.spec)
        self._seen: dict[str, Action] = {}  # where each arm was when it was last seen

    @property
    def spec(self) -> RobotSpec:
        """Both specs as one."""
        return self._spec

    def connect(self) -> None:
        """Connects both, or none."""
        self._both(lambda arm: arm.connect(), undo=lambda arm: arm.close())

    def reset(self) -> None:
        """Brings one arm after the other to where an episode starts."""
        self._each(lambda _, arm: arm.reset())

    def observe(self) -> Observation:
        """Looks with both; as old as the older of the two."""
        seen = self._each(lambda _, arm: arm.observe())
        moving = {side: np.split(it.proprioception, 2) for side, it in seen.items()}
        self._seen = {side: positions for side, (positions, _) in moving.items()}
        return Observation(
            time=min(it.time for it in seen.values()),
            proprioception=np.concatenate(
                [moving[side][half] for half in range(2) for side in (LEFT, RIGHT)]
            ),
            images={f"{side}_{k}": v for side, it in seen.items() for k, v in it.images.items()},
            image_times={
                f"{side}_{k}": v for side, it in seen.items() for k, v in it.image_times.items()
            },
        )

    def act(self, action: Action) -> Action:
        """Sends each arm its part and returns what both really sent."""
        parts: dict[str, Action] = dict(
            zip((LEFT, RIGHT), np.split(action, [self._arms[LEFT].spec.action_dim]), strict=True)
        )
        sent = self._each(lambda side, arm: arm.act(parts[side]))
        return np.concatenate([sent[LEFT], sent[RIGHT]])

    def close(self) -> None:
        """Brings both to rest, the second also when the first fails."""
        with contextlib.ExitStack() as stack:
            for arm in self._arms.values():
                stack.callback(arm.close)

    def health(self) -> Health:
        """How all motors were at the last look."""
        left, right = (arm.health() for arm in self._arms.values())
        both = {LEFT: left, RIGHT: right}
        return Health(
            time=min(left.time, right.time),
            load=np.concatenate([left.load, right.load]),
            current=np.concatenate([left.current, right.current]),
            voltage=np.concatenate([left.voltage, right.voltage]),
            temperature=np.concatenate([left.temperature, right.temperature]),
            torque=np.concatenate([left.torque, right.torque]),
            alarms={f"{side}_{k}": v for side, it in both.items() for k, v in it.alarms.items()},
            silent=tuple(f"{side}_{name}" for side, it in both.items() for name in it.silent),
        )

    def enable_torque(self) -> None:
        """Switches both on, or none."""
        self._both(lambda arm: arm.enable_torque(), undo=lambda arm: arm.disable_torque())

    def disable_torque(self) -> tuple[str, ...]:
        """Switches both off, whatever fails; returns the joints that did not confirm it."""
        return tuple(
            f"{side}_{name}" for side, arm in self._arms.items() for name in arm.disable_torque()
        )

    def limit_torque(self, share: float) -> None:
        """Lets no motor of either use more than this share of its torque."""
        self._each(lambda _, arm: arm.limit_torque(share))

    def _each(self, do: Callable[[str, Arm], T]) -> dict[str, T]:
        """Does the same with both; when one fails, both stay where they were last seen."""
        done: dict[str, T] = {}
        for side, arm in self._arms.items():
            with _named(side):
                try:
                    done[side] = do(side, arm)
                except Exception:
                    self._hold(RIGHT if side == LEFT else LEFT)
                    self._hold(side)  # perhaps it still hears
                    raise
        return done

    def _both(self, do: Callable[[Arm], object], undo: Callable[[Arm], object]) -> None:
        """Does the same with both; when one fails, undoes what was tried with either."""
        with contextlib.ExitStack() as stack:
            for side, arm in self._arms.items():
                stack.callback(undo, arm)
                with _named(side):
                    do(arm)
            stack.pop_all()

    def _hold(self, side: str) -> None:
        """Tells an arm to stay where it was last seen; what it says to that is not the point."""
        if side in self._seen:
            spec = self._arms[side].spec
            with contextlib.suppress(Exception):
                self._arms[side].act(np.clip(self._seen[side], spec.low, spec.high))


def bimanual_spec(left: RobotSpec, right: RobotSpec) -> RobotSpec:
    """Returns both specs as one.

    Raises:
        RobotError: They have different control rates.
    """
    if left.control_hz != right.control_hz:
        raise RobotError(
            f"two arms move at one rate: {left.name} at {left.control_hz:g} Hz does not go with "
            f"{right.name} at {right.control_hz:g} Hz"
        )
    sides = ((LEFT, left), (RIGHT, right))
    return RobotSpec(
        name=f"{left.name}+{right.name}",
        joints=tuple(
            replace(joint, name=f"{side}_{joint.name}")
            for side, spec in sides
            for joint in spec.joints
        ),
        cameras=tuple(
            replace(camera, name=f"{side}_{camera.name}")
            for side, spec in sides
            for camera in spec.cameras
        ),
        control_hz=left.control_hz,
    )


@contextlib.contextmanager
def _named(side: str) -> Iterator[None]:
    """Says in an error which of the two arms it is about."""
    try:
        yield
    except RobotError as error:
        raise type(error)(f"{side} arm: {error}") from error
