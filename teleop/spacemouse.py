"""A SpaceMouse: a cap that is pushed and twisted, read through pyspacemouse 2 (extra `spacemouse`).

Never tried on a device. What was tried: that library's own decoding, fed with reports of the bytes
its tables document, through everything here.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol

import msgspec
import numpy as np

from demoloop.teleop.errors import TeleopError
from demoloop.teleop.inputs import Inputs
from demoloop.teleop.motion import Motion, Vector

SPEED = 0.2  # m/s with the cap pushed to its end
TURN = 1.2  # rad/s
OPENING = 1.2  # 1/s
DEAD_ZONE = 0.08  # of the cap's way: a hand that rests on it

CONTROLS = (
    ("push or pull the cap", "forward, back, left, right, up, down"),
    ("twist it", "roll"),
    ("tilt it forward or back", "lower or lift the fingertips"),
    ("left button", "close the gripper"),
    ("right button", "open the gripper"),
)
"""What moves the arm, as page and handbook say it."""

_EVERY_S = 0.01
_MOST_REPORTS = 32  # at once: more than come in `_EVERY_S`, so that none is left to grow old


class SpaceMouseState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Way (x forward, y left, z up) and twist (about the same axes) of the cap, each -1 .. 1."""

    way: tuple[float, float, float] = (0.0, 0.0, 0.0)
    twist: tuple[float, float, float] = (0.0, 0.0, 0.0)
    buttons: tuple[bool, ...] = ()
    problem: str = ""  # why it cannot be read; then nothing else counts

    def __post_init__(self) -> None:
        # Caps go a little beyond what their maker calls the end. Written so that a NaN fails too.
        if not all(-2.0 <= value <= 2.0 for value in (*self.way, *self.twist)):
            raise ValueError(f"the cap is at {self.way}, {self.twist}; expected -1 .. 1")


class SpaceMouse:
    """The cap is a rate: let go, it springs back, and the arm stands still."""

    name = "spacemouse"

    def __init__(self, inputs: Inputs) -> None:
        """Stores; a `SpaceMouseReader` fills the inputs."""
        self._inputs = inputs

    def read(self, time: float) -> Motion:
        """Returns what the cap says now; raises TeleopError when it is unplugged."""
        state = self._inputs.latest(self.name, SpaceMouseState)
        if state is None:
            return Motion()
        if state.problem:
            raise TeleopError(state.problem)
        way, twist = (_bent(np.array(said)) for said in (state.way, state.twist))
        closes, opens = (*state.buttons, False, False)[:2]
        return Motion(
            is_engaged=True,
            velocity=SPEED * way,
            # A twist to the left seen from above rolls a gripper that looks down to the left.
            turning=TURN * np.array([-twist[1], -twist[2]]),
            opening_rate=OPENING * (float(opens) - float(closes)),
        )


def _bent(said: Vector) -> Vector:
    """Returns (3,) with the dead zone taken out of each axis, ending at 1."""
    share = np.clip((np.abs(said) - DEAD_ZONE) / (1.0 - DEAD_ZONE), 0.0, 1.0)
    bent: Vector = np.sign(said) * share
    return bent


class Cap(Protocol):
    """An opened device of pyspacemouse, by what is used of it."""

    def read(self) -> CapState:
        """Takes in one report, if there is one, and returns all that is known."""
        ...

    def close(self) -> None:
        """Lets go of it."""
        ...


class CapState(Protocol):
    """What pyspacemouse knows of a cap, by the ROS convention: x forward, y left, z up."""

    t: float  # s, of the last report
    x: float
    y: float
    z: float
    roll: float
    pitch: float
    yaw: float

    @property
    def buttons(self) -> Sequence[int]:
        """1 where one is pressed."""
        ...


def open_cap() -> Cap:
    """Opens the first SpaceMouse that is plugged in.

    Raises:
        TeleopError: The library or libhidapi is missing, or no device is there or may be read.
    """
    try:
        library = importlib.import_module("pyspacemouse")
    except (ImportError, AttributeError) as error:  # AttributeError: libhidapi is missing
        raise TeleopError(
            f"a SpaceMouse needs pyspacemouse 2 and libhidapi ({error}); "
            "pip install 'demoloop[spacemouse]' and apt install libhidapi-hidraw0"
        ) from error
    if not hasattr(library, "AxisConvention"):
        raise TeleopError("pyspacemouse is older than 2.1; pip install 'demoloop[spacemouse]'")
    try:
        cap: Cap = library.open(axis_convention=library.AxisConvention.ROS)
    except (RuntimeError, AttributeError, OSError) as error:
        raise TeleopError(
            f"no SpaceMouse: {error} Plug it in; if it is, its /dev/hidraw must be readable "
            "for you by a udev rule"
        ) from error
    return cap


class SpaceMouseReader:
    """Reads a SpaceMouse in a thread of its own and puts what it says into `Inputs`.

    `with SpaceMouseReader(inputs): …`
    """

    def __init__(self, inputs: Inputs, opened: Callable[[], Cap] = open_cap) -> None:
        """Stores."""
        self._inputs, self._open = inputs, opened
        self._is_over = threading.Event()

    def __enter__(self) -> SpaceMouseReader:
        """Opens the device; raises TeleopError when there is none."""
        self._cap = self._open()
        self._is_over.clear()
        self._thread = threading.Thread(target=self._listen, name="spacemouse", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Lets go of it."""
        self._is_over.set()
        self._thread.join()
        self._cap.close()

    def _listen(self) -> None:
        while not self._is_over.wait(_EVERY_S):
            try:
                state = _newest(self._cap)
            except Exception as error:  # what an unplugged device raises differs by system
                state = SpaceMouseState(
                    problem=f"cannot be read any more ({error}); plug it in and begin anew"
                )
            # Said again while nothing changes: a cap that is held still is no dead one.
            self._inputs.put(SpaceMouse.name, state)


def _newest(cap: Cap) -> SpaceMouseState:
    """Takes in all waiting reports: way and twist may come in different ones."""
    seen = cap.read()
    for _ in range(_MOST_REPORTS):
        before = seen.t
        seen = cap.read()
        if seen.t == before:
            break
    return SpaceMouseState(
        way=(seen.x, seen.y, seen.z),
        twist=(seen.roll, seen.pitch, seen.yaw),
        buttons=tuple(bool(pressed) for pressed in seen.buttons),
    )
