"""What a person wants of an arm at one instant, whatever device they say it with."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from demoloop.teleop.errors import TeleopError

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Motion:
    """One instant of a device. Axes are those of the arm's base: x forward, y left, z up.

    Rates and poses may be mixed: a pose moves the hand by as much as the device moved since it was
    engaged, a rate shifts where that counts from.
    """

    is_engaged: bool = False  # False: the arm stays where it was sent
    velocity: Vector = field(default_factory=lambda: np.zeros(3))  # (3,) m/s
    position: Vector | None = None  # (3,) m, anywhere: only its change since engaging counts
    turning: Vector = field(default_factory=lambda: np.zeros(2))
    """(2,) rad/s: pitch, lifting the fingertips; roll, clockwise seen from behind the gripper."""
    roll: float | None = None  # rad, clockwise seen from behind: its change since engaging counts
    opening: float | None = None  # of the gripper, 0 closed .. 1 open
    opening_rate: float = 0.0  # 1/s
    joints: Vector | None = None  # (action_dim,) unit/s of each joint; then nothing else counts
    status: str = ""  # what the device has to say, one sentence


class Device(Protocol):
    """What a person moves: keys, a stick, a phone, their hand."""

    name: str

    def read(self, time: float) -> Motion:
        """Returns what it says now; released when it says nothing or cannot be read.

        Args:
            time: Of the observation that is answered [s]; only its differences mean something.

        Raises:
            TeleopError: It is gone or says nonsense; the arm stays.
        """
        ...


_LARGEST = 100.0  # [m, rad, unit/s]: no hand, stick or stopwatch says more
_SIZES = {"velocity": 3, "position": 3, "turning": 2}


def check_motion(motion: Motion, action_dim: int) -> Motion:
    """Returns `motion` as it came, or raises TeleopError naming what is no motion of this arm."""
    for name in (it.name for it in fields(motion) if it.name not in ("is_engaged", "status")):
        said = getattr(motion, name)
        if said is None:
            continue
        value = np.asarray(said)
        size = action_dim if name == "joints" else _SIZES.get(name)
        shape = () if size is None else (size,)
        if value.dtype.kind not in "fiu" or value.shape != shape:
            raise TeleopError(
                f"{name} of a motion is {value.dtype} of shape {value.shape}, expected numbers of "
                f"shape {shape}; the arm stays"
            )
        if not (np.abs(value) <= _LARGEST).all():  # also catches nan
            raise TeleopError(
                f"{name} of a motion is {value.tolist()}, expected at most {_LARGEST:g}; "
                "the arm stays"
            )
    return motion
