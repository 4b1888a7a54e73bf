"""A robot to be hosted that keeps a diary, and its host within this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from demoloop.deploy.arm_loop import ArmLoop
from demoloop.deploy.keys import KeyFolder
from demoloop.deploy.robot_server import RobotServer
from demoloop.deploy.robot_wire import Seat
from demoloop.robot import Action, Observation, RobotSpec
from demoloop.robot.safety import SafetyError

HALF = np.array([0.5, 0.5, 0.5], np.float32)
PICTURE_AGE_S = 0.3


class Diarist:
    """Does half of what it is told, and notes all of it."""

    def __init__(self, spec: RobotSpec, clock: Callable[[], float] = time.monotonic) -> None:
        self.spec = spec
        self.clock = clock
        self.diary: list[str] = []  # act, hold, reset SEED, arm, reset_fault, estop REASON
        self.sent: list[Action] = []
        self.state, self.fault = "ARMED", ""
        self.success: bool | None = None
        self.gone = ""
        self.picture = 0  # changes only when a test says so
        self.taken_at = self.clock()
        self.on_order: Callable[[], None] = lambda: None

    def succeeded(self) -> bool | None:
        return self.success

    def observe(self) -> Observation:
        if self.gone:
            raise SafetyError(self.gone)
        now = self.clock()
        positions = self.sent[-1] if self.sent else np.full(3, 0.1, np.float32)
        return Observation(
            now,
            np.concatenate([positions, np.zeros(3, np.float32)]),
            {
                c.name: np.full((c.height, c.width, 3), self.picture, np.uint8)
                for c in self.spec.cameras
            },
            {c.name: self.taken_at - PICTURE_AGE_S for c in self.spec.cameras},
        )

    def act(self, action: Action) -> Action:
        if self.fault:
            raise SafetyError(self.fault)
        self.diary.append("act")
        self.state = "RUNNING"
        self.sent.append(action * HALF)
        return self.sent[-1]

    def hold(self) -> None:
        self.diary.append("hold")
        self.state = "ARMED"

    def reset(self, seed: int | None) -> None:
        self.on_order()
        self.diary.append(f"reset {seed}")
        self.state = "ARMED"

    def arm(self) -> None:
        self.diary.append("arm")

    def reset_fault(self) -> None:
        self.diary.append("reset_fault")
        self.fault, self.state = "", "ARMED"

    def estop(self, reason: str) -> None:
        self.diary.append(f"estop {reason}")
        self.fault, self.state = f"e-stop ({reason})", "FAULT"


@contextmanager
def hosting(
    robot: Diarist,
    endpoint: str = "tcp://127.0.0.1:*",
    keys: KeyFolder | None = None,
    task: str = "table",
) -> Iterator[RobotServer]:
    """Hosts it from threads of this process within the block."""
    stop, seat = threading.Event(), Seat(robot.spec, task, ("calibrated by ann",))
    with RobotServer(ArmLoop(robot), seat, endpoint, keys) as server:
        thread = threading.Thread(target=server.serve, args=(stop,))
        thread.start()
        try:
            yield server
        finally:
            stop.set()
            thread.join()
