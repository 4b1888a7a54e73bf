"""The control channel: a unix socket on which one JSON object a line asks, and one answers.

    {"do": "fault", "fault": {"kind": "drop", "share": 0.02}}    -> {"ok": true}
    {"do": "state"}                                              -> {"ok": true, "state": {...}}

Every question is one of the classes below, every fault one of `robot/emulator/faults`. Where there
are several lines, `line` names one; without it the first is meant.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from typing import Annotated, TypeAlias

import msgspec

from demoloop.robot.emulator.faults import AnyFault
from demoloop.robot.errors import RobotError

MAX_LINE = 65_536  # bytes; a longer question ends the conversation
_Numbers = Annotated[tuple[float, ...], msgspec.Meta(max_length=1024)]


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do"):
    """What a client may ask."""


class Inject(Question, frozen=True, tag="fault"):
    """Lets something go wrong from now on."""

    fault: AnyFault
    line: str | None = None


class Clear(Question, frozen=True, tag="clear"):
    """Takes all causes of faults away, and plugs everything in."""

    line: str | None = None


class Unplug(Question, frozen=True, tag="unplug"):
    """The port is gone, and its name with it. The servos keep their power and their goals."""

    line: str | None = None


class Replug(Question, frozen=True, tag="replug"):
    """The port is back under the same name."""

    line: str | None = None


class UnplugCamera(Question, frozen=True, tag="unplug_camera"):
    """A camera is gone."""

    camera: str


class ReplugCamera(Question, frozen=True, tag="replug_camera"):
    """A camera is back."""

    camera: str


class Ask(Question, frozen=True, tag="state"):
    """How everything truly is."""


class Time(Question, frozen=True, tag="time"):
    """How the emulator keeps its time."""


class Place(Question, frozen=True, tag="place"):
    """Puts the world where it is told to, with nothing moving."""

    qpos: _Numbers
    holds: bool = True  # servos take where they now are as their goal
    mocap: _Numbers = ()  # x y z [m], w x y z of each body no force moves; empty: where they are


class Drag(Question, frozen=True, tag="drag"):
    """A hand takes joints of the world and leads them, as strongly as a person does.

    It holds them until it is told otherwise; no joints: it lets go.
    """

    joints: Mapping[str, float]  # joint of the world -> where to [rad or m]


class Push(Question, frozen=True, tag="push"):
    """Torques that nobody commands turn joints of the world from now on, as a nudge does.

    They last until it is told otherwise; no joints: nobody nudges. A hand that leads is stronger.
    """

    torques: Mapping[str, float]  # joint of the world -> [N m], or [N]


AnyQuestion: TypeAlias = (
    Inject
    | Clear
    | Unplug
    | Replug
    | UnplugCamera
    | ReplugCamera
    | Ask
    | Time
    | Place
    | Drag
    | Push
)


class ServoState(msgspec.Struct, frozen=True):
    """One servo, as it truly is."""

    id: int
    joint: str
    position: float  # of the joint in the world [rad]; of a shaft with nothing on it, the shaft's
    velocity: float  # [rad/s]
    has_torque: bool
    load: float  # share of the full drive, -1 .. 1
    current: float  # A
    temperature: float  # degrees Celsius
    volts: float  # V
    alarms: tuple[str, ...]
    tick: int  # what its position register shows


class State(msgspec.Struct, frozen=True):
    """Everything, at one instant."""

    time: float  # s, time.monotonic()
    lines: Mapping[str, tuple[ServoState, ...]]
    is_plugged: Mapping[str, bool]
    qpos: tuple[float, ...] = ()  # of the world
    qvel: tuple[float, ...] = ()


class Pace(msgspec.Struct, frozen=True):
    """How the emulator keeps its time."""

    time: float  # s, time.monotonic()
    num_ticks: int  # of the servos' firmware
    num_late: int  # of those, begun more than two ticks late
    lost_s: float  # time that was skipped, since the process did not get to run
    world_time: float  # s, of the simulation


class Reply(msgspec.Struct, frozen=True):
    """What comes back."""

    ok: bool
    error: str = ""
    state: State | None = None
    pace: Pace | None = None


class Control:
    """A client of the control channel. Connects at the first question."""

    def __init__(self, path: str, timeout_s: float = 5.0) -> None:
        """Takes the socket's path."""
        self._path, self._timeout_s = path, timeout_s
        self._socket: socket.socket | None = None
        self._rest = b""

    def inject(self, fault: AnyFault, line: str | None = None) -> None:
        """Lets something go wrong from now on."""
        self._ask(Inject(fault, line))

    def clear(self, line: str | None = None) -> None:
        """Takes all causes of faults away, and plugs the line in."""
        self._ask(Clear(line))

    def unplug(self, line: str | None = None) -> None:
        """Pulls the plug of a port."""
        self._ask(Unplug(line))

    def replug(self, line: str | None = None) -> None:
        """Plugs a port in again."""
        self._ask(Replug(line))

    def unplug_camera(self, camera: str) -> None:
        """Pulls the plug of a camera."""
        self._ask(UnplugCamera(camera))

    def replug_camera(self, camera: str) -> None:
        """Plugs a camera in again."""
        self._ask(ReplugCamera(camera))

    def state(self) -> State:
        """Returns how everything truly is."""
        state = self._ask(Ask()).state
        assert state is not None
        return state

    def pace(self) -> Pace:
        """Returns how the emulator keeps its time."""
        pace = self._ask(Time()).pace
        assert pace is not None
        return pace

    def place(
        self, qpos: Sequence[float], *, holds: bool = True, mocap: Sequence[float] = ()
    ) -> None:
        """Puts the world at `qpos` (nq,), at rest; with `holds` the servos stay there.

        Args:
            qpos: Of all joints.
            holds: Whether the servos take where they now are as their goal.
            mocap: (7 * nmocap,) x y z [m] and w x y z of each body that no force moves; none of
                them: they stay.
        """
        where, markers = (tuple(map(float, values)) for values in (qpos, mocap))
        self._ask(Place(where, holds, markers))

    def drag(self, joints: Mapping[str, float]) -> None:
        """Leads joints of the world by hand; an empty mapping lets go."""
        self._ask(Drag(dict(joints)))

    def push(self, torques: Mapping[str, float]) -> None:
        """Nudges joints of the world [N m] until told otherwise; an empty mapping ends it."""
        self._ask(Push(dict(torques)))

    def close(self) -> None:
        """Hangs up; may be called twice."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _ask(self, question: AnyQuestion) -> Reply:
        try:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX)
                self._socket.settimeout(self._timeout_s)
                self._socket.connect(self._path)
            self._socket.sendall(msgspec.json.encode(question) + b"\n")
            while b"\n" not in self._rest:
                if not (data := self._socket.recv(MAX_LINE)):
                    raise ConnectionError("it hung up")
                self._rest += data
        except OSError as error:
            self.close()
            raise RobotError(f"the emulator at {self._path} does not answer: {error}") from error
        text, _, self._rest = self._rest.partition(b"\n")
        reply = msgspec.json.decode(text, type=Reply)
        if not reply.ok:
            raise RobotError(f"the emulator refuses: {reply.error}")
        return reply
