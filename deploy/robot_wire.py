"""The messages between a robot that is hosted and whoever drives it from another computer.

The same form as on the policy line (`wire`): header, bounded msgpack of a known type, raw frames.
Times are always of the host's monotonic clock; the driver gets a look's times back with the next
question and works out for itself what they are on its own clock (`clocks`). Nobody ever compares
the clocks of two computers.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from demoloop.deploy.wire import (
    MAX_FRAMES,
    MINOR,
    Bye,
    Count,
    Fault,
    Frames,
    Name,
    Seconds,
    Sentence,
    Vocabulary,
)
from demoloop.robot import RobotSpec

Verb = Literal["reset", "hold", "arm", "reset_fault", "stop"]
Text = Annotated[str, Meta(max_length=64)]
Times = Annotated[dict[Name, Seconds], Meta(max_length=MAX_FRAMES)]


class Drive(msgspec.Struct, frozen=True):
    """Driver to robot: may I drive? The header's t_mono_ns names the question."""

    who: Text = ""
    minor: Count = MINOR


class Seat(msgspec.Struct, frozen=True):
    """Robot to driver: you drive, and nobody else. The header holds the session."""

    spec: RobotSpec
    task: Text = ""  # what stands on a simulated table; empty: nobody knows what is there
    events: Annotated[tuple[Sentence, ...], Meta(max_length=MAX_FRAMES)] = ()
    """What is noted with each recording: the calibration, how the cameras are set."""
    minor: Count = MINOR


class Ask(msgspec.Struct, frozen=True):
    """Driver to robot: the next look, please. `seen` are the pictures that are here already."""

    seen: Times


class Look(msgspec.Struct, frozen=True):
    """Robot to driver: answers Ask `ack_seq`.

    The header's t_mono_ns is when the joints were read. Frames are `proprioception`, `goal` where
    something was pointed at, and `image.<camera>` of the cameras that have a new picture.
    """

    frames: Frames
    image_times: Times  # of all cameras
    asked_at: Seconds  # when the question came
    state: Text  # of the robot's supervision
    fault: Sentence = ""
    success: bool | None = None  # None: only a person can tell


class Act(msgspec.Struct, frozen=True):
    """Driver to robot: the newest action counts. One frame, `action` (action_dim,) float32."""

    frames: Frames


class Acted(msgspec.Struct, frozen=True):
    """Robot to driver: what was really sent for Act `ack_seq`; one frame, `action`."""

    frames: Frames


class Order(msgspec.Struct, frozen=True):
    """Driver to robot: anything that is no action.

    `stop` is the emergency stop: of anybody who got in, whether he drives or not.
    """

    verb: Verb
    why: Text = ""
    seed: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None  # of the world that reset makes


class Done(msgspec.Struct, frozen=True):
    """Robot to driver: order `ack_seq` was carried out, and how the robot is then."""

    state: Text = ""
    fault: Sentence = ""


class Pulse(msgspec.Struct, frozen=True):
    """Both ways, every `HEARTBEAT_S`. The robot says how long its own loop stands still."""

    still_ms: Annotated[float, Meta(ge=0, le=1e9)] = 0.0


Body: TypeAlias = Drive | Seat | Ask | Look | Act | Acted | Order | Done | Pulse | Fault | Bye

ROBOT_LINE = Vocabulary(
    *(Drive, Seat, Ask, Look, Act, Acted, Order, Done, Pulse, Fault, Bye),
)

# Of a Fault on this line.
NOT_DRIVING = "unknown_session"
TAKEN = "busy"
OF_ROBOT = "robot"  # what happened to the arm, and the next step
