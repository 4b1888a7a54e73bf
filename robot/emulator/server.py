"""The emulator's process: ports, servos, the world and the control channel, in one loop."""

from __future__ import annotations

import ctypes
import gc
import os
import select
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from demoloop.robot.emulator.chain import TICK_S, Chain, Servo
from demoloop.robot.emulator.config import EmulatorConfig, LineConfig, build_chain
from demoloop.robot.emulator.control import (
    MAX_LINE,
    AnyQuestion,
    Ask,
    Clear,
    Drag,
    Inject,
    Pace,
    Place,
    Push,
    Replug,
    ReplugCamera,
    Reply,
    ServoState,
    State,
    Time,
    Unplug,
    UnplugCamera,
)
from demoloop.robot.emulator.dynamixel_table import MODELS
from demoloop.robot.emulator.motor import STS3215, Shaft
from demoloop.robot.emulator.port import Port
from demoloop.robot.emulator.wire import Wire
from demoloop.robot.errors import RobotError

if TYPE_CHECKING:  # MuJoCo is loaded only where there is a world
    from demoloop.robot.emulator.cameras import CameraServer
    from demoloop.robot.emulator.physics import World

_STDIN = 0
_PRIORITY = 40  # of SCHED_FIFO: below a guard (50) and a watchdog (60), whom they are to serve
_MAX_BEHIND_S = 0.2  # longer than that the process did not get to run, and the servos skip time


class _Line:
    """One port with its servos."""

    def __init__(self, config: LineConfig, chain: Chain[Any], seed: int) -> None:
        self.config, self.chain = config, chain
        self.wire = Wire(chain, baud=config.baud, seed=seed, is_live=True)
        self.port = Port(Path(config.link))


class Server:
    """Runs until its standard input ends: whoever started it is gone then."""

    def __init__(self, config: EmulatorConfig) -> None:
        """Builds everything; opens nothing.

        Raises:
            RobotError: The model is none, or does not fit the servos.
        """
        self._config = config
        self._world: World | None = None
        self._cameras: CameraServer | None = None
        if config.model:
            from demoloop.robot.emulator.cameras import CameraServer
            from demoloop.robot.emulator.physics import World

            self._world = World(Path(config.model))
            self._cameras = CameraServer(self._world, config.cameras, config.camera_socket)
        self._lines = {
            line.name: _Line(line, build_chain(line, self._shafts(line)), config.seed + i)
            for i, line in enumerate(config.lines)
        }
        self._listener = socket.socket(socket.AF_UNIX)
        self._clients: dict[socket.socket, bytes] = {}
        self._ticks_at = 0.0
        self._num_ticks = self._num_late = 0
        self._lost_s = 0.0

    def run(self) -> None:
        """Plugs everything in, says "ready" on standard output, and serves."""
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(29, 1000)  # PR_SET_TIMERSLACK: wake within a microsecond
        with suppress(OSError):  # servos have processors of their own; only root may
            os.setpriority(os.PRIO_PROCESS, 0, -10)
        gc.freeze()
        self._listener.bind(self._config.control_socket)
        self._listener.listen()
        self._ticks_at = time.monotonic()
        for line in self._lines.values():
            line.chain.start_at(self._ticks_at)
        if self._world is not None and self._cameras is not None:
            self._world.start_at(self._ticks_at)
            self._cameras.start()
        with suppress(OSError, AttributeError):
            # Only this thread: servos answer whatever the computer does, pictures may be late.
            policy = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK
            os.sched_setscheduler(0, policy, os.sched_param(_PRIORITY))
        try:
            for line in self._lines.values():
                line.port.plug()
            print("ready", flush=True)
            while self._turn():
                pass
        finally:
            for line in self._lines.values():
                line.port.unplug()

    def _turn(self) -> bool:
        """Goes once round the loop; False when it is time to end."""
        self._tick(time.monotonic())
        plugged = {
            line.port.fileno(): line for line in self._lines.values() if line.port.is_plugged
        }
        now = time.monotonic()
        due = self._ticks_at + TICK_S
        for line in plugged.values():
            if data := line.wire.receive(now):
                line.port.write(data)
            due = min(due, line.wire.next_arrival() or due)
        waiting: list[int | socket.socket] = [*plugged, _STDIN, self._listener, *self._clients]
        ready, _, _ = select.select(waiting, [], [], max(0.0, due - time.monotonic()))
        for one in ready:
            if isinstance(one, socket.socket):
                self._converse(one)
            elif one == _STDIN:
                return os.read(_STDIN, 4096) != b""
            elif data := plugged[one].port.read():
                line = plugged[one]
                line.wire.send(data, time.monotonic(), line.port.baud())
        return True

    def _tick(self, now: float) -> None:
        """Lets servos and world live until `now`."""
        behind = now - self._ticks_at
        if behind > _MAX_BEHIND_S:
            self._lost_s += behind - TICK_S
            self._ticks_at = now - TICK_S
            for line in self._lines.values():
                line.chain.start_at(self._ticks_at)
        self._num_late += behind > 3 * TICK_S
        while self._ticks_at + TICK_S <= now:
            self._ticks_at += TICK_S
            self._num_ticks += 1
            for line in self._lines.values():
                line.chain.advance(self._ticks_at)
            if self._world is not None:
                self._world.advance(self._ticks_at)

    def _converse(self, client: socket.socket) -> None:
        """Answers what a client of the control channel asks; hangs up on nonsense without end."""
        if client is self._listener:
            new, _ = self._listener.accept()
            new.settimeout(1.0)
            self._clients[new] = b""
            return
        try:
            data = client.recv(MAX_LINE)
            text = self._clients[client] + data
            *lines, rest = text.split(b"\n")
            if not data or len(rest) > MAX_LINE:
                raise ConnectionError("over")
            for line in lines:
                client.sendall(msgspec.json.encode(self._answer(line)) + b"\n")
            self._clients[client] = rest
        except OSError:
            del self._clients[client]
            client.close()

    def _answer(self, text: bytes) -> Reply:
        try:
            return self._obey(msgspec.json.decode(text, type=AnyQuestion))
        except (msgspec.DecodeError, ValueError, RobotError) as error:
            return Reply(False, str(error))

    def _obey(self, question: AnyQuestion) -> Reply:
        match question:
            case Inject():
                self._line(question.line).wire.inject(question.fault)
            case Clear():
                self._line(question.line).wire.clear()
                self._line(question.line).port.plug()
            case Unplug():
                self._line(question.line).port.unplug()
                self._line(question.line).wire.cut()
            case Replug():
                self._line(question.line).port.plug()
            case UnplugCamera() | ReplugCamera():
                if self._cameras is None:
                    raise ValueError("there is no world and no camera")
                self._cameras.plug(question.camera, isinstance(question, ReplugCamera))
            case Place():
                self._there().place(question.qpos, question.mocap)
                if question.holds:
                    for line in self._lines.values():
                        for servo in line.chain.servos:
                            servo.stay()
            case Drag():
                self._there().drag(question.joints)
            case Push():
                self._there().push(question.torques)
            case Time():
                return Reply(True, pace=self._pace())
            case Ask():
                return Reply(True, state=self._state())
        return Reply(True)

    def _line(self, name: str | None) -> _Line:
        if name is None:
            return next(iter(self._lines.values()))
        if name not in self._lines:
            raise ValueError(f"no line {name!r}; there are {', '.join(self._lines)}")
        return self._lines[name]

    def _there(self) -> World:
        if self._world is None:
            raise ValueError("there is no world behind these servos; start with a model")
        return self._world

    def _pace(self) -> Pace:
        world_time = float(self._world.data.time) if self._world is not None else 0.0
        return Pace(time.monotonic(), self._num_ticks, self._num_late, self._lost_s, world_time)

    def _state(self) -> State:
        lines = {
            name: tuple(
                _state_of(servo, config.joint)
                for servo, config in zip(line.chain.servos, line.config.servos, strict=True)
            )
            for name, line in self._lines.items()
        }
        is_plugged = {name: line.port.is_plugged for name, line in self._lines.items()}
        if self._world is None:
            return State(time.monotonic(), lines, is_plugged)
        data = self._world.data
        return State(
            time.monotonic(),
            lines,
            is_plugged,
            tuple(data.qpos.tolist()),
            tuple(data.qvel.tolist()),
        )

    def _shafts(self, line: LineConfig) -> dict[int, Shaft]:
        """Returns the shafts of those servos that turn a joint of the world."""
        shafts: dict[int, Shaft] = {}
        for servo in line.servos:
            if self._world is None or not servo.joint:
                continue
            is_feetech = line.bus == "feetech"
            constants = STS3215 if is_feetech else MODELS[servo.model].constants
            shafts[servo.id] = self._world.shaft(servo, constants)
        return shafts


def _state_of(servo: Servo, joint: str) -> ServoState:
    motor, shaft = servo.motor, servo.motor.shaft
    return ServoState(
        id=servo.id,
        joint=joint,
        position=getattr(shaft, "joint_position", shaft.position),
        velocity=getattr(shaft, "joint_velocity", shaft.velocity),
        has_torque=servo.has_torque,
        load=motor.duty,
        current=motor.current,
        temperature=motor.temperature,
        volts=motor.sense("volts"),
        alarms=tuple(sorted(servo.alarms)),
        tick=servo.present_tick,
    )
