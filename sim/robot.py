"""SimRobot: the SO-101 at a task in MuJoCo, behind the same protocol as a real arm."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import mujoco
import numpy as np
from numpy.typing import NDArray

from demoloop.robot import Action, Observation, RobotSpec, check_action
from demoloop.robot.arms.so101 import GRIPPER_CLOSED, GRIPPER_OPEN, SO101
from demoloop.sim.errors import SimError
from demoloop.sim.randomize import Disturbance, Randomization, Randomizer
from demoloop.sim.task import Task
from demoloop.sim.world import build_model

HOME = np.array([0.0, -1.15, 0.95, 1.45, 0.0, 0.65])  # rad: folded back, looking down, open
_REST_STEPS = 5  # a task counts as solved after it looked solved for so many control steps


class SimRobot:
    """One arm, one task, one seed per episode.

    Joints are read with the jaw counted from 0 closed to 1 open. Every `reset` takes the next
    seed; the same seed gives the same physics and the same pixels.
    """

    def __init__(
        self,
        task: Task,
        seeds: Iterable[int],
        *,
        spec: RobotSpec = SO101,
        randomization: Randomization | None = None,
        disturbance: Disturbance | None = None,
    ) -> None:
        """Builds the world; rendering starts with the first `observe`.

        Args:
            task: What stands on the table.
            seeds: One is taken at each reset.
            spec: The SO-101, perhaps with other camera sizes.
            randomization: How much the world differs from episode to episode.
            disturbance: Somebody who nudges the arm now and then.
        """
        self.task = task
        self.seed = -1
        self.model = build_model(task.mjcf)
        self.data = mujoco.MjData(self.model)
        self._spec = spec
        self._seeds: Iterator[int] = iter(seeds)
        self._substeps = round(1.0 / (spec.control_hz * self.model.opt.timestep))
        self._randomizer = Randomizer(self.model, randomization or Randomization())
        self._disturbance = disturbance
        self._renderers: dict[tuple[int, int], mujoco.Renderer] = {}
        self._solved_steps = 0
        self._pending: list[NDArray[np.float64]] = []

    @property
    def spec(self) -> RobotSpec:
        """The embodiment."""
        return self._spec

    @property
    def max_steps(self) -> int:
        """Control steps after which an unsolved episode has failed."""
        return round(self.task.max_seconds * self._spec.control_hz)

    def reset(self) -> None:
        """Starts the episode of the next seed."""
        try:
            self.seed = int(next(self._seeds))
        except StopIteration:
            raise SimError(f"{self.task.name}: no seed left; hand over one per episode") from None
        rng = np.random.default_rng(self.seed)
        mujoco.mj_resetData(self.model, self.data)
        # A stream of its own: where things lie must not change with what they look like.
        delay_steps = self._randomizer.apply(np.random.default_rng((self.seed, 9)))
        self.task.place(self.model, self.data, rng)
        home = HOME + rng.uniform(-0.05, 0.05, 6)
        self.data.qpos[:6] = home
        self.data.ctrl[:] = home
        self._pending = [home] * delay_steps
        if self._disturbance is not None:
            self._disturbance.reset(rng)
        for _ in range(5 * self._substeps):  # let things settle on the table
            mujoco.mj_step(self.model, self.data)
        self.data.time = 0.0
        self._solved_steps = 0

    def positions(self) -> NDArray[np.float64]:
        """Joint positions (6,) [rad], the jaw as opening 0..1."""
        q = np.array(self.data.qpos[:6])
        q[5] = (q[5] - GRIPPER_CLOSED) / (GRIPPER_OPEN - GRIPPER_CLOSED)
        return q

    def observe(self) -> Observation:
        """Reads joints and renders every camera of the spec."""
        velocity = np.array(self.data.qvel[:6])
        velocity[5] /= GRIPPER_OPEN - GRIPPER_CLOSED
        now = float(self.data.time)
        images = {c.name: self.render(c.name, c.height, c.width) for c in self._spec.cameras}
        return Observation(
            time=now,
            proprioception=np.concatenate([self.positions(), velocity]).astype(np.float32),
            images=images,
            image_times=dict.fromkeys(images, now),
        )

    def act(self, action: Action) -> Action:
        """Holds `action` as servo targets for one control period."""
        sent = check_action(self._spec, action)
        target = sent.astype(np.float64)
        target[5] = GRIPPER_CLOSED + target[5] * (GRIPPER_OPEN - GRIPPER_CLOSED)
        self._pending.append(target)
        self.data.ctrl[:] = self._pending.pop(0)
        for _ in range(self._substeps):
            if self._disturbance is not None:
                self.data.qfrc_applied[:5] = self._disturbance.torque(self.model.opt.timestep)
            mujoco.mj_step(self.model, self.data)
        solved = self.task.is_solved(self.model, self.data)
        self._solved_steps = self._solved_steps + 1 if solved else 0
        return sent

    def succeeded(self) -> bool:
        """Physics says the task is done, and has said so for a fifth of a second."""
        return self._solved_steps >= _REST_STEPS

    def render(
        self, camera: str, height: int, width: int, *, shadows: bool = False
    ) -> NDArray[np.uint8]:
        """Returns what `camera` sees, (height, width, 3) uint8 RGB."""
        size = (height, width)
        if size not in self._renderers:
            self._renderers[size] = mujoco.Renderer(self.model, height, width)
        renderer = self._renderers[size]
        renderer.update_scene(self.data, camera)
        renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = shadows
        renderer.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        pixels: NDArray[np.uint8] = renderer.render()
        return pixels

    def close(self) -> None:
        """Frees the renderers."""
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers.clear()
