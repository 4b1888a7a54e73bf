"""EmulatedRobot: the SO-101 at a task, behind serial bytes, camera sockets and a supervisor.

What a policy or a person meets here is what a real arm would give them: servos that are asked over
a port, pictures that are a moment old, a supervisor that slows down what is too quick. Only the
scripted expert and the judge of success see the world itself, in a mirror.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import mujoco
import numpy as np
from numpy.typing import NDArray

from demoloop.robot import Action, Observation, RobotSpec, WallClock
from demoloop.robot.arms.so101 import ARM, GRIPPER_CLOSED, GRIPPER_OPEN
from demoloop.robot.bus import serial_bus
from demoloop.robot.cameras import Cameras
from demoloop.robot.emulator.emulator import Emulator, emulated_arm
from demoloop.robot.safety import Body, Limits, SafetyError, Supervised
from demoloop.robot.servo_arm import ServoArm
from demoloop.sim.errors import SimError
from demoloop.sim.pointing import point_at
from demoloop.sim.randomize import Disturbance
from demoloop.sim.robot import REST_STEPS, in_openings, lay_out
from demoloop.sim.task import Task
from demoloop.sim.world import build_model

LIMITS = Limits(
    silent_s=1.0, heartbeat_s=1.0, camera_age_s=1.0, start_speed=3.0, start_acceleration=20.0
)
"""As for a real arm, but for its patience, since servos on a desk never wait for their turn on a
CPU, and for the slow start, since nobody has to step back. It would cost a policy that sets off
quickly its first two seconds; `demoloop run` fades the first chunk in and never meets it."""
_HOMING_SPEED = 1.5  # rad/s; nobody stands beside it
_READ_S = 0.02  # of a control period of 40 ms, for the same reason
_PICTURE_S = 5.0  # after which a camera that shows nothing new counts as gone
_CYCLE_S = 0.02
_SETTLE_S = 0.2  # as long as SimRobot lets things come to rest
_ATTEMPTS = 3  # of going home: what is in the way is taken away by the second


class EmulatedRobot:
    """One emulated arm, one task, one seed per episode: `with EmulatedRobot(task, seeds) as robot`.

    It lives in real time: run it with a `WallClock`. A seed has its objects where `SimRobot` has
    them; what then happens is never the same twice, as on a desk.

    Attributes:
        supervised: Whoever stops the arm speaks to this.
        model: The world, as the emulator has it.
        data: How it was at the last `observe`.
        seed: Of the present episode.
    """

    def __init__(
        self,
        task: Task,
        seeds: Iterable[int],
        *,
        disturbance: Disturbance | None = None,
        misleads: bool = False,
    ) -> None:
        """Stores, and builds the world; the block starts the emulator.

        Args:
            task: What stands on the table.
            seeds: One is taken at each reset.
            disturbance: Somebody who nudges the arm now and then.
            misleads: Whoever points, where the task has marks, points at what is not meant.
        """
        self.task = task
        self.seed = -1
        self.model = build_model(task.mjcf)
        self.data = mujoco.MjData(self.model)
        self._seeds: Iterator[int] = iter(seeds)
        self._misleads = misleads
        self._goal: NDArray[np.float32] | None = None  # of this episode
        self._clock = WallClock()
        self._disturbance = disturbance
        self._solved_since: float | None = None  # s
        self._is_solved_for_good = self._is_nudged = False
        self._began_at = self._mirrored_at = 0.0  # s
        rest = np.array(ARM.rest)
        rest[5] = GRIPPER_CLOSED + rest[5] * (GRIPPER_OPEN - GRIPPER_CLOSED)
        self._folded = rest  # rad
        self._opened = ExitStack()
        self._emulator: Emulator
        self.supervised: Supervised

    @property
    def spec(self) -> RobotSpec:
        """The embodiment."""
        return ARM.spec

    @property
    def max_steps(self) -> int:
        """Control steps after which an unsolved episode has failed."""
        return round(self.task.max_seconds * self.spec.control_hz)

    def __enter__(self) -> EmulatedRobot:
        """Starts the emulator, opens port and cameras, and switches torque on.

        Raises:
            RobotError: The emulator did not start.
        """
        with ExitStack() as opened:
            folder = opened.enter_context(tempfile.TemporaryDirectory(prefix="demoloop-world-"))
            world = Path(folder) / "world.mjb"
            mujoco.mj_saveModel(self.model, str(world), None)
            self._emulator = opened.enter_context(emulated_arm(ARM, world))
            eyes = Cameras(ARM.spec, self._emulator.setups(), opens=self._emulator.opens)
            cameras = opened.enter_context(eyes)
            bus = serial_bus(ARM.servos, self._emulator.port)
            arm = ServoArm(ARM.spec, ARM.servos, bus, cameras, read_s=_READ_S)
            # No watchdog: the emulator ends with this process.
            body = Body(ARM.mjcf, ARM.spec, LIMITS)
            self.supervised = Supervised(arm, limits=LIMITS, body=body)
            opened.enter_context(self.supervised)
            self.supervised.arm()
            self._opened = opened.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Brings the arm to rest and ends the emulator."""
        self.close()

    def reset(self) -> None:
        """Starts the episode of the next seed: the arm goes home, then the objects are placed.

        An arm that is in FAULT is looked at and put home by hand, as a person would.

        Raises:
            SimError: There is no seed left.
            SafetyError: The arm cannot be switched on again.
        """
        try:
            self.seed = int(next(self._seeds))
        except StopIteration:
            raise SimError(f"{self.task.name}: no seed left; hand over one per episode") from None
        mujoco.mj_resetData(self.model, self.data)
        rng = np.random.default_rng(self.seed)
        home = lay_out(self.task, self.model, self.data, rng)
        placed = self.data.qpos.copy()
        markers = np.hstack([self.data.mocap_pos, self.data.mocap_quat])
        control = self._emulator.control
        is_nudged, self._is_nudged = self._is_nudged, False
        if is_nudged:
            control.push({})
        self._bring_home(in_openings(home).astype(np.float32))
        placed[:6] = control.state().qpos[:6]  # it droops below its goal, as in the simulation
        control.place(placed.tolist(), holds=False, mocap=markers.ravel().tolist())
        self._settle()
        if self.task.pointing is not None:
            world = (self.spec, self.model, self.data, self.seed)
            self._goal = point_at(self.task.pointing, *world, misleads=self._misleads)
        self._solved_since, self._is_solved_for_good = None, False
        self._began_at = self._clock.now()
        if self._disturbance is not None:
            self._disturbance.reset(rng)
            self._is_nudged = True

    def observe(self) -> Observation:
        """Looks once, and takes the mirror along."""
        observation = replace(self.supervised.observe(), goal=self._goal)
        now = self._clock.now()
        if now - self._mirrored_at < 0.5 / self.spec.control_hz:
            return observation  # a guard looks more often than anybody needs to know the truth
        seconds, self._mirrored_at = now - self._mirrored_at, now
        self._mirror()
        if self._disturbance is not None and self._is_nudged:
            torques = self._disturbance.torque(seconds).tolist()
            names = self.spec.joint_names[: len(torques)]
            self._emulator.control.push(dict(zip(names, torques, strict=True)))
        if not self.task.is_solved(self.model, self.data):
            self._solved_since = None
        elif self._solved_since is None:
            self._solved_since = now
        elif now - self._solved_since >= (REST_STEPS - 1) / self.spec.control_hz:
            self._is_solved_for_good = True
        return observation

    def act(self, action: Action) -> Action:
        """Sends what the supervisor lets through, and returns that."""
        return self.supervised.act(action)

    def positions(self) -> NDArray[np.float64]:
        """True joint positions (6,) [rad] at the last look, the jaw as opening 0..1."""
        return in_openings(self.data.qpos[:6])

    def succeeded(self) -> bool:
        """Physics says the task is done, and has said so for a fifth of a second."""
        return self._is_solved_for_good

    def is_over(self) -> bool:
        """Solved, or too late: a loop that skips steps has the same time as one that does not."""
        return self.succeeded() or self.seconds > self.task.max_seconds

    @property
    def seconds(self) -> float:
        """Since the episode began."""
        return self._clock.now() - self._began_at

    def close(self) -> None:
        """Brings the arm to rest and ends the emulator; may be called twice."""
        self._opened.close()

    def _bring_home(self, home: Action) -> None:
        supervised = self.supervised
        for attempt in range(_ATTEMPTS):
            try:
                if supervised.fault is not None:
                    supervised.reset_fault()
                if supervised.state == "IDLE":
                    self._put_back()
                    supervised.arm()
                supervised.hold()
                supervised.go(home, _HOMING_SPEED)
                return
            except SafetyError:
                if attempt == _ATTEMPTS - 1:
                    raise

    def _put_back(self) -> None:
        """Folds an arm without torque, as a person would who has looked why it stopped."""
        control = self._emulator.control
        qpos = np.array(control.state().qpos)
        qpos[:6] = self._folded
        control.place(qpos.tolist(), holds=False)
        self.supervised.observe()

    def _settle(self) -> None:
        """Lets things come to rest, until every camera has seen them so."""
        start = self._clock.now()
        while True:
            observation = self.observe()
            if min(observation.image_times.values()) > start + _SETTLE_S:
                return
            if self._clock.now() - start > _SETTLE_S + _PICTURE_S:
                raise SimError("the emulated cameras show nothing new; see whether CPU is left")
            self._clock.sleep_until(self._clock.now() + _CYCLE_S)

    def _mirror(self) -> None:
        """Takes over how everything truly is."""
        state = self._emulator.control.state()
        self.data.qpos[:], self.data.qvel[:] = state.qpos, state.qvel
        mujoco.mj_forward(self.model, self.data)
