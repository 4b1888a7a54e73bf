"""Starts the emulator's process, and ends it: an arm that is not there, behind a port that is."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import msgspec

import demoloop
from demoloop.robot.arms.arm_model import ArmModel
from demoloop.robot.arms.servo_map import ServoMap
from demoloop.robot.cameras.capture import Capture
from demoloop.robot.cameras.setup import CameraError, CameraSetup
from demoloop.robot.emulator.capture import EmulatedCapture
from demoloop.robot.emulator.config import CameraConfig, EmulatorConfig, LineConfig, ServoConfig
from demoloop.robot.emulator.control import Control
from demoloop.robot.errors import RobotError

_START_TIMEOUT_S = 60.0  # loading MuJoCo and a model on a busy machine
_STOP_TIMEOUT_S = 5.0
_DRAWING = {"MUJOCO_GL": "egl", "LP_NUM_THREADS": "1"}
"""Without a window; and the software renderer's threads would take the cores of who drives."""


class Emulator:
    """`with Emulator(lines) as emulator:` runs servos in another process while the block lasts."""

    def __init__(
        self,
        lines: Sequence[LineConfig],
        *,
        model: Path | None = None,
        cameras: Sequence[CameraConfig] = (),
        seed: int = 0,
    ) -> None:
        """Stores.

        Args:
            lines: The ports. A `link` without a folder appears in the emulator's own one.
            model: The world behind them: an .mjb (`mujoco.mj_saveModel`) or an MJCF.
            cameras: Cameras of the model that clients may open.
            seed: Of what goes wrong by chance.
        """
        self._lines, self._model = tuple(lines), model
        self._cameras, self._seed = tuple(cameras), seed
        self._config: EmulatorConfig | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._control: Control | None = None

    def __enter__(self) -> Emulator:
        """Starts the process and returns when its ports are there.

        Raises:
            RobotError: It did not start; says what it complained of.
        """
        folder = Path(tempfile.mkdtemp(prefix="demoloop-emulator-"))
        self._config = EmulatorConfig(
            str(folder),
            tuple(msgspec.structs.replace(x, link=str(folder / x.link)) for x in self._lines),
            model=str(self._model.resolve()) if self._model else "",
            cameras=self._cameras,
            seed=self._seed,
        )
        (folder / "config.json").write_bytes(msgspec.json.encode(self._config))
        source = str(Path(demoloop.__file__).parents[1])
        paths = [source, *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**_DRAWING, **os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        with (folder / "log.txt").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "demoloop.robot.emulator"),
                    *("--file", str(folder / "config.json")),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                cwd=folder,  # MuJoCo leaves its log where it runs
                start_new_session=True,  # Ctrl-C is for whoever drives the arm: it falls with us
            )
        try:
            self._await_ready(self._process)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        self._control = Control(self._config.control_socket)
        self._control.pace()  # after the work of starting it may wait for its turn: not on the line
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends the process and takes its folder away."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            process, self._process = self._process, None
            assert process.stdin is not None and process.stdout is not None
            if error is not None and process.poll() is not None:
                error.add_note(f"the emulator had ended by itself: {self._last_words()}")
            process.stdin.close()  # which is how it is told to end
            try:
                process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
        if self._config is not None:
            shutil.rmtree(self._config.folder, ignore_errors=True)
            self._config = None

    @property
    def control(self) -> Control:
        """Injects faults, and says how everything truly is."""
        if self._control is None:
            raise RobotError("the emulator is not running; enter it with `with` first")
        return self._control

    @property
    def port(self) -> str:
        """Path of the first line's port; the same after it was unplugged and plugged in again."""
        return self.port_of(self._lines[0].name)

    def port_of(self, line: str) -> str:
        """Path of a line's port."""
        for config in self._running().lines:
            if config.name == line:
                return config.link
        names = ", ".join(config.name for config in self._lines)
        raise RobotError(f"the emulator has no line {line!r}; it has {names}")

    def capture(self, camera: str) -> EmulatedCapture:
        """Opens a camera, as `cv2.VideoCapture` would."""
        return EmulatedCapture(self._running().camera_socket, camera)

    def opens(self, setup: CameraSetup) -> Capture:
        """Opens the camera of a setup: for `opens` of `Camera` and `CameraRig`.

        Raises:
            CameraError: There is no such camera, or its plug is pulled.
        """
        capture = self.capture(setup.name)
        if not capture.isOpened():
            raise CameraError(f"camera {setup.name}: there is none, or it is unplugged")
        return capture

    def setups(self, fourcc: str = "RGB3") -> tuple[CameraSetup, ...]:
        """Returns its cameras as they are configured.

        Args:
            fourcc: RGB3 is the simulation's pixels to the bit, MJPG what a USB camera makes of it.
        """
        return tuple(
            CameraSetup(
                camera.name,
                f"emulated:{camera.name}",
                camera.width,
                camera.height,
                camera.fps,
                fourcc,
                warm_up_s=0.0,  # nothing to settle
                frozen_after_s=0.0,  # nothing moves where nothing moves
            )
            for camera in self._cameras
        )

    @property
    def pid(self) -> int:
        """Of the emulator's process."""
        if self._process is None:
            raise RobotError("the emulator is not running; enter it with `with` first")
        return self._process.pid

    def _running(self) -> EmulatorConfig:
        if self._config is None:
            raise RobotError("the emulator is not running; enter it with `with` first")
        return self._config

    def _last_words(self) -> str:
        log = Path(self._running().folder) / "log.txt"
        lines = log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def _await_ready(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], _START_TIMEOUT_S)
        if not ready:
            raise RobotError(f"the emulator was not ready within {_START_TIMEOUT_S:g} s")
        if process.stdout.readline() != b"ready\n":
            process.wait()
            raise RobotError(f"the emulator did not start: {self._last_words()}")


def line_of(
    arm: ArmModel,
    servos: ServoMap | None = None,
    *,
    name: str = "arm",
    prefix: str = "",
    volts: float | None = None,
) -> LineConfig:
    """Returns the port of an arm whose servos turn the joints of a model, folded to begin with.

    Args:
        arm: Which arm.
        servos: How this one was built: another map than the plans', as a calibration would find.
        name: What the port is called.
        prefix: Of the joints' names in the model, where several arms share a world.
        volts: Of the supply; None for what such servos usually get.
    """
    servos = servos or arm.servos
    made = []
    for joint, limits, start in zip(servos.joints, arm.spec.joints, arm.rest, strict=True):
        scale = joint.scale
        servo = ServoConfig(
            joint.id,
            joint.model,
            prefix + joint.name,
            scale.zero_tick,
            scale.ticks_per_unit,
            is_opening=limits.unit == "opening",
            start=start,
        )
        made.append(servo)
        if joint.shadow_id is not None:
            made.append(msgspec.structs.replace(servo, id=joint.shadow_id, shadows=joint.id))
    return LineConfig(name, servos.bus, name, tuple(made), servos.baud, volts, return_delay_us=0)


def emulated_arm(
    arm: ArmModel,
    model: Path | None = None,
    *,
    servos: ServoMap | None = None,
    cameras_hz: float = 30.0,
    volts: float | None = None,
    seed: int = 0,
) -> Emulator:
    """Returns an arm that is not there: enter it, open its `port`, `capture` its cameras.

    Args:
        arm: Which arm.
        model: The world it stands in, with the joints of its MJCF; None: it stands alone, unseen.
        servos: How this one was built: another map than the plans', as a calibration would find.
        cameras_hz: Pictures per second that the spec's cameras take unless asked for others.
        volts: Of the supply; None for what such servos usually get.
        seed: Of what goes wrong by chance.
    """
    seen = arm.spec.cameras if model is not None else ()
    return Emulator(
        [line_of(arm, servos, volts=volts)],
        model=model or arm.mjcf,
        cameras=[CameraConfig(c.name, c.height, c.width, cameras_hz) for c in seen],
        seed=seed,
    )
