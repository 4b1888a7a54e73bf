"""What an emulated camera and its client say to each other, over a unix socket.

The client sends one JSON line with the mode it wants, `{"camera": "front", "width": 96, "height":
96, "fps": 25, "fourcc": "MJPG"}`, and gets one back with the mode it has. From then on every byte
it sends asks for the next picture: `HEADER`, then a JPEG or plain RGB. Only the newest picture is
handed out, and each one once.
"""

from __future__ import annotations

import struct

import msgspec

HEADER = struct.Struct("<QdI")  # number of the picture, time.monotonic() of capture, bytes
FOURCCS = ("MJPG", "RGB3")


class Hello(msgspec.Struct, frozen=True):
    """The mode a client asks for, and the one it gets."""

    camera: str
    width: int = 0  # 0: as configured
    height: int = 0
    fps: float = 0.0
    fourcc: str = "MJPG"
    error: str = ""  # why there is none
