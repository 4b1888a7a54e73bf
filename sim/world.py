"""Questions about, and changes to, one MuJoCo world: room, arm and the objects of a task."""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

from demoloop.robot.arms import so101

_SCENE = Path(__file__).with_name("scene.xml")
Vector = NDArray[np.float64]


def build_model(task_mjcf: Path) -> mujoco.MjModel:
    """Joins room, arm and task objects into one model."""
    parts = "".join(f'<include file="{path}"/>' for path in (_SCENE, so101.MJCF, task_mjcf))
    return mujoco.MjModel.from_xml_string(f"<mujoco>{parts}</mujoco>")


def yaw_of(rotation: Vector) -> float:
    """Angle [rad] about the vertical of a body's x axis; `rotation` is (9,) or (3, 3)."""
    matrix = rotation.reshape(3, 3)
    return float(np.arctan2(matrix[1, 0], matrix[0, 0]))


def wrap(angle: float, period: float = 2 * np.pi) -> float:
    """Returns `angle` [rad] folded into [-period/2, period/2)."""
    return float((angle + period / 2) % period - period / 2)


def set_free_body(
    model: mujoco.MjModel, data: mujoco.MjData, joint: str, position: Vector, yaw: float
) -> None:
    """Puts a free body at `position` (3,) [m], turned by `yaw` [rad] about the vertical."""
    start = int(model.joint(joint).qposadr[0])
    data.qpos[start : start + 3] = position
    data.qpos[start + 3 : start + 7] = np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)


def touches_arm(model: mujoco.MjModel, data: mujoco.MjData, body: str) -> bool:
    """Says whether any part of the arm is in contact with `body`."""
    wanted, arm = int(model.body(body).id), int(model.body("base").id)
    for contact in data.contact:
        bodies = {int(model.geom_bodyid[contact.geom1]), int(model.geom_bodyid[contact.geom2])}
        if wanted in bodies and any(_root_is(model, b, arm) for b in bodies - {wanted}):
            return True
    return False


def pads_hold(model: mujoco.MjModel, data: mujoco.MjData, body: str) -> bool:
    """Says whether both finger pads touch `body`."""
    wanted = int(model.body(body).id)
    pads = {int(model.geom("fixed_pad").id), int(model.geom("moving_pad").id)}
    touching: set[int] = set()
    for contact in data.contact:
        geoms = {int(contact.geom1), int(contact.geom2)}
        if any(int(model.geom_bodyid[g]) == wanted for g in geoms):
            touching |= geoms & pads
    return touching == pads


def is_at_rest(data: mujoco.MjData, body: str) -> bool:
    """Says whether `body` moves slower than 1 cm/s and 0.3 rad/s."""
    velocity = data.body(body).cvel  # rotation (3,) rad/s, then translation (3,) m/s
    return bool(np.abs(velocity[3:]).max() < 0.01 and np.abs(velocity[:3]).max() < 0.3)


def _root_is(model: mujoco.MjModel, body: int, root: int) -> bool:
    return int(model.body_rootid[body]) == root
