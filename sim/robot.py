"""SimRobot: the SO-101 at a task in MuJoCo, behind the same protocol as a real arm."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import floor

import mujoco
import numpy as np
from numpy.typing import NDArray

from demoloop.robot import Action, Observation, RobotSpec, check_action
from demoloop.robot.arms.so101 import GRIPPER_CLOSED, GRIPPER_OPEN, SO101
from demoloop.robot.emulator.cameras import draw
from demoloop.sim.errors import SimError
from demoloop.sim.pointing import point_at
from demoloop.sim.randomize import Disturbance, Randomization, Randomizer
from demoloop.sim.task import Task
from demoloop.sim.world import build_model

HOME = np.array([0.0, -1.15, 0.95, 1.45, 0.0, 0.65])  # rad: folded back, looking down, open
REST_STEPS = 5  # a task counts as solved after it looked solved for so many control steps


def lay_out(
    task: Task, model: mujoco.MjModel, data: mujoco.MjData, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Puts objects and arm where an episode starts; returns the arm's home (6,) [rad]."""
    task.place(model, data, rng)
    home: NDArray[np.float64] = HOME + rng.uniform(-0.05, 0.05, 6)
    data.qpos[:6] = home
    data.ctrl[:] = home
    return home


def in_openings(joints: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns joint positions (6,) [rad] with the jaw as opening 0..1."""
    q = np.array(joints)
    q[5] = (q[5] - GRIPPER_CLOSED) / (GRIPPER_OPEN - GRIPPER_CLOSED)
    return q


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
        acting_hz: float | None = None,
        misleads: bool = False,
    ) -> None:
        """Builds the world; rendering starts with the first `observe`.

        Args:
            task: What stands on the table.
            seeds: One is taken at each reset.
            spec: The SO-101, perhaps with other camera sizes.
            randomization: How much the world differs from episode to episode.
            disturbance: Somebody who nudges the arm now and then.
            acting_hz: Actions per second; None for the control rate. Cameras go on taking a
                picture per control period, which stays until the next one.
            misleads: Whoever points, where the task has marks, points at what is not meant.

        Raises:
            SimError: Actions would come more rarely than pictures, or more often than physics goes.
        """
        self.task = task
        self.seed = -1
        self.model = build_model(task.mjcf)
        self.data = mujoco.MjData(self.model)
        self._spec = spec
        self._seeds: Iterator[int] = iter(seeds)
        self._substeps: int = round(1.0 / (spec.control_hz * self.model.opt.timestep))
        self._acts_per_step = self._count_acts(acting_hz or spec.control_hz)
        self._randomizer = Randomizer(self.model, randomization or Randomization())
        self._disturbance = disturbance
        self._misleads = misleads
        self.goal: NDArray[np.float32] | None = None  # what is pointed at in this episode
        self._renderers: dict[tuple[int, int], mujoco.Renderer] = {}
        self._num_acts = 0  # of this episode
        self._solved_acts = 0
        self._pending: list[NDArray[np.float64]] = []
        self._images: dict[str, NDArray[np.uint8]] = {}  # of this control period
        self._images_at = 0.0  # s

    @property
    def spec(self) -> RobotSpec:
        """The embodiment."""
        return self._spec

    @property
    def max_steps(self) -> int:
        """Control steps after which an unsolved episode has failed."""
        return round(self.task.max_seconds * self._spec.control_hz)

    @property
    def acting_hz(self) -> float:
        """Actions per second."""
        return self._spec.control_hz * self._acts_per_step

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
        home = lay_out(self.task, self.model, self.data, rng)
        self._pending = [home] * round(delay_steps * self._acts_per_step)
        if self._disturbance is not None:
            self._disturbance.reset(rng)
        for _ in range(5 * self._substeps):  # let things settle on the table
            mujoco.mj_step(self.model, self.data)
        self.data.time = 0.0
        pointing = self.task.pointing
        if pointing is not None and pointing.marks.camera in self._spec.camera_names:
            world = (self._spec, self.model, self.data, self.seed)
            self.goal = point_at(pointing, *world, misleads=self._misleads)
        self._num_acts = self._solved_acts = 0
        self._images = {}

    def positions(self) -> NDArray[np.float64]:
        """Joint positions (6,) [rad], the jaw as opening 0..1."""
        return in_openings(self.data.qpos[:6])

    def observe(self) -> Observation:
        """Reads joints; renders every camera of the spec, once per control period."""
        velocity = np.array(self.data.qvel[:6])
        velocity[5] /= GRIPPER_OPEN - GRIPPER_CLOSED
        now = float(self.data.time)
        if not self._images or self._is_picture_due(now):
            cameras = self._spec.cameras
            self._images = {c.name: self.render(c.name, c.height, c.width) for c in cameras}
            self._images_at = now
        return Observation(
            time=now,
            proprioception=np.concatenate([self.positions(), velocity]).astype(np.float32),
            images=self._images,
            image_times=dict.fromkeys(self._images, self._images_at),
            goal=self.goal,
        )

    def _is_picture_due(self, now: float) -> bool:
        if self._acts_per_step == 1:
            return True  # at the control rate every look is a new one
        # Half a step of physics of slack: times are sums.
        due_at = self._images_at + self._substeps * self.model.opt.timestep
        return bool(now > due_at - 0.5 * self.model.opt.timestep)

    def act(self, action: Action) -> Action:
        """Holds `action` as servo targets for one period of acting."""
        sent = check_action(self._spec, action)
        target = sent.astype(np.float64)
        target[5] = GRIPPER_CLOSED + target[5] * (GRIPPER_OPEN - GRIPPER_CLOSED)
        self._pending.append(target)
        self.data.ctrl[:] = self._pending.pop(0)
        before, self._num_acts = self._physics_steps(), self._num_acts + 1
        for _ in range(self._physics_steps() - before):
            if self._disturbance is not None:
                self.data.qfrc_applied[:5] = self._disturbance.torque(self.model.opt.timestep)
            mujoco.mj_step(self.model, self.data)
        solved = self.task.is_solved(self.model, self.data)
        self._solved_acts = self._solved_acts + 1 if solved else 0
        return sent

    def _physics_steps(self) -> int:
        """Steps of physics that the acts of this episode stand for; whole ones, and none lost."""
        return floor(self._num_acts * self._substeps / self._acts_per_step + 0.5)

    def _count_acts(self, acting_hz: float) -> float:
        """Returns how many actions come in one control period."""
        if not 1 <= acting_hz / self._spec.control_hz <= self._substeps:
            raise SimError(
                f"a simulated {self._spec.name} acts {self._spec.control_hz:g} to "
                f"{1 / self.model.opt.timestep:g} times per second, not {acting_hz:g}; "
                "choose a rate between"
            )
        return acting_hz / self._spec.control_hz

    def succeeded(self) -> bool:
        """Physics says the task is done, and has said so for a fifth of a second."""
        return self._solved_acts >= REST_STEPS * self._acts_per_step

    def render(
        self, camera: str, height: int, width: int, *, shadows: bool = False
    ) -> NDArray[np.uint8]:
        """Returns what `camera` sees, (height, width, 3) uint8 RGB."""
        size = (height, width)
        if size not in self._renderers:
            self._renderers[size] = mujoco.Renderer(self.model, height, width)
        return draw(self._renderers[size], self.data, camera, shadows=shadows)

    def close(self) -> None:
        """Frees the renderers."""
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers.clear()
