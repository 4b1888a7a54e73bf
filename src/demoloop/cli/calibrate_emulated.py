"""The person who calibrates an emulated arm: the emulator's hand, which feels the stops."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mujoco

from demoloop.robot.arms import ArmModel
from demoloop.robot.arms.servo_map import ServoMap
from demoloop.robot.calibration import Step
from demoloop.robot.emulator.control import Control, State
from demoloop.robot.emulator.emulator import Emulator, line_of

_SPEED = 3.0  # rad/s, and openings/s
_PRESS = 0.2  # rad beyond a stop, to lean against it
_HOLD_S = 0.4  # a joint has come to rest by then
_READ_EVERY_S = 0.005


class Hand:
    """Brings joints where a step wants them, at the speed of a hand."""

    def __init__(self, arm: ArmModel, model: mujoco.MjModel, control: Control) -> None:
        """Takes the arm, its world and the hand in it."""
        self._arm, self._model, self._control = arm, model, control
        self._step: Step | None = None
        self._target = self._goal = 0.0
        self._moved_at = self._arrived_at = 0.0

    def is_there(self, step: Step) -> bool:
        """Moves on a little, and says whether the joint is where it should be."""
        now = time.monotonic()
        if step != self._step:
            self._begin(step, now)
        most = _SPEED * (now - self._moved_at)
        self._moved_at = now
        way = self._goal - self._target
        if way:
            self._target += max(-most, min(most, way))
            self._control.drag({step.joint: self._target})
            self._arrived_at = now
        time.sleep(_READ_EVERY_S)
        is_there = not way and now - self._arrived_at > _HOLD_S
        if is_there:
            self._step = None  # the same step asked for again is done again
        return is_there

    def state(self) -> State:
        """How the emulated arm truly is."""
        return self._control.state()

    def _begin(self, step: Step, now: float) -> None:
        index = self._arm.spec.joint_names.index(step.joint)
        guide = self._arm.guides[index]
        place = guide.first if step.which == "first" else guide.second
        low, high = self._model.joint(step.joint).range
        goal = place.position
        if self._arm.spec.joints[index].unit == "opening":
            goal = low + goal * (high - low)
        elif guide.are_stops:
            goal += _PRESS if goal > 0 else -_PRESS
        qpos = self.state().qpos
        self._target = float(qpos[int(self._model.joint(step.joint).qposadr[0])])
        self._goal, self._step = float(goal), step
        self._moved_at = self._arrived_at = now


@contextmanager
def emulated_person(arm: ArmModel, built: ServoMap | None = None) -> Iterator[tuple[str, Hand]]:
    """Starts an arm that stops where real ones do, and yields its port and the hand.

    Args:
        arm: Which arm.
        built: How this one was put together; None: as planned.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "arm.mjb"
        model = with_stops(arm)
        mujoco.mj_saveModel(model, str(path), None)
        with Emulator([line_of(arm, built)], model=path) as emulator:
            yield emulator.port, Hand(arm, model, emulator.control)


def with_stops(arm: ArmModel) -> mujoco.MjModel:
    """Returns the arm's model with joints that end at their stops, beyond the spec's limits."""
    model = mujoco.MjModel.from_xml_path(str(arm.mjcf))
    for joint, stops in arm.stops.items():
        model.jnt_range[int(model.joint(joint).id)] = stops
    return model
