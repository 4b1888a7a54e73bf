"""What somebody in front of the panel's page knows of the world, for `through_the_page.py`.

The page is told joints and pictures. Where the cube lay when the episode began follows from the
seed; that it is held, from fingers that stop closing; that it is in the bin, from having let go of
it there. This is a belief, and wrong when the cube was pushed: then the person tries again.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Any

import mujoco
import numpy as np
from person import Sight, look

from demoloop.robot.arms.so101 import GRIPPER_CLOSED, GRIPPER_OPEN, SO101
from demoloop.sim import make_robot
from demoloop.sim.world import set_free_body, yaw_of

# Before the page's own scripts: what the socket says is kept where the person can read it.
LISTEN = """
window.told = {};
window.WebSocket = class extends WebSocket {
  constructor(...words) {
    super(...words);
    this.addEventListener("message", ({ data }) => {
      if (typeof data === "string") {
        const message = JSON.parse(data);
        window.told[message.type] = message;
      } else {
        const length = new DataView(data).getUint32(0, true);
        const header = new Uint8Array(data, 4, length);
        window.told.frame = JSON.parse(new TextDecoder().decode(header));
      }
    });
  }
};
"""
NEWEST = "({session: told.session, frame: told.frame, gesture: told.gesture})"

_HELD = (0.20, 0.28)  # opening with a 3 cm cube between the fingers: 0.24 squeezed, 0.275 touched
_STOPPED = 0.3  # 1/s: fingers that close on nothing do so at 1.2
_LOOK_BACK_S = 0.08
_LET_GO = 0.30  # opening


class SeenPage:
    """The world as it is believed to be: `SeenPage(seed)`, then `take(frame)` and `look()`.

    Attributes:
        robot: A world of the same seed, whose arm is put where the page says; nothing moves in it.
        joints: What the page said last.
    """

    def __init__(self, seed: int) -> None:
        self.robot = make_robot("pick_place", [seed], spec=replace(SO101, cameras=()))
        self.robot.reset()
        self.joints = np.zeros(6)
        self.released_at: float | None = None  # s: when the cube was let go of over the bin
        self._openings: deque[tuple[float, float]] = deque(maxlen=64)
        self._is_held, self._now = False, 0.0
        self._grip = (np.zeros(3), 0.0)  # of the cube, as the hand sees it

    def take(self, frame: dict[str, Any]) -> None:
        """Puts the arm, and what it holds, where the page says."""
        # The arm's own time: where a loaded machine slows the world down, a person waits for it.
        self._now = now = float(frame["time"])
        self.joints = np.array(frame["joints"])
        joints = self.joints.copy()
        joints[5] = GRIPPER_CLOSED + joints[5] * (GRIPPER_OPEN - GRIPPER_CLOSED)
        data = self.robot.data
        data.qpos[:6] = joints
        mujoco.mj_kinematics(self.robot.model, data)
        self._feel(now, float(self.joints[5]))
        if self._is_held:
            hand, axes = data.site("grasp").xpos, data.site("grasp").xmat.reshape(3, 3)
            place, turned = self._grip
            yaw = float(np.arctan2(axes[1, 2], axes[0, 2])) + turned
            set_free_body(self.robot.model, data, "cube", hand + axes @ place, yaw)
            mujoco.mj_kinematics(self.robot.model, data)

    def look(self) -> Sight:
        """Returns what is believed."""
        sight = look(self.robot)
        return replace(
            sight,
            time=self._now,
            is_held=self._is_held,
            is_in_bin=self.released_at is not None,
        )

    def _feel(self, now: float, opening: float) -> None:
        """Notices that the fingers have closed on something, and that they have let go."""
        if not self._openings or now > self._openings[-1][0]:
            self._openings.append((now, opening))
        before = [width for at, width in self._openings if now - at >= _LOOK_BACK_S]
        if self._is_held:
            if opening > _LET_GO:
                self._let_go(now)
        elif before and self._is_near() and _HELD[0] < opening < _HELD[1]:
            speed = (before[-1] - opening) / _LOOK_BACK_S
            if abs(speed) < _STOPPED:
                self._grasp()

    def _is_near(self) -> bool:
        data = self.robot.data
        way = data.body("cube").xpos - data.site("grasp").xpos
        return bool(np.linalg.norm(way) < 0.03 and self.released_at is None)

    def _grasp(self) -> None:
        data = self.robot.data
        hand, axes = data.site("grasp").xpos, data.site("grasp").xmat.reshape(3, 3)
        yaw = float(np.arctan2(axes[1, 2], axes[0, 2]))
        turned = yaw_of(data.body("cube").xmat) - yaw
        self._grip = (axes.T @ (data.body("cube").xpos - hand), turned)
        self._is_held = True

    def _let_go(self, now: float) -> None:
        """It falls: into the bin, or back on the table."""
        self._is_held = False
        data = self.robot.data
        cube, bin_ = np.array(data.body("cube").xpos), data.body("bin").xpos
        if np.abs((cube - bin_)[:2]).max() < 0.05:
            self.released_at = now
        place = np.append(cube[:2], 0.015)
        set_free_body(self.robot.model, data, "cube", place, yaw_of(data.body("cube").xmat))
        mujoco.mj_kinematics(self.robot.model, data)
