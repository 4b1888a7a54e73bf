"""What ROS 2 (CDR) and Foxglove (JSON) messages say: numbers of joints, and pictures.

The few types that matter never change, so they are read here by their definition; the definitions
that a file carries are not interpreted.
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from demoloop.datasets.errors import DatasetError
from demoloop.datasets.importers.found import MAX_PICTURE_BYTES, MAX_WIDTH, check_picture_size
from demoloop.datasets.importers.pictures import decode

ENCODINGS = ("cdr", "json")
JOINTS = ("JointState", "JointStates", "Float64MultiArray", "Float32MultiArray")
PICTURES = ("CompressedImage", "Image", "RawImage")
# Encoding of a plain picture -> channels, and which of them are red, green and blue.
_CHANNELS: Mapping[str, tuple[int, tuple[int, int, int]]] = {
    "rgb8": (3, (0, 1, 2)),
    "bgr8": (3, (2, 1, 0)),
    "8UC3": (3, (2, 1, 0)),
    "rgba8": (4, (0, 1, 2)),
    "bgra8": (4, (2, 1, 0)),
    "mono8": (1, (0, 0, 0)),
    "8UC1": (1, (0, 0, 0)),
}


class Joints(NamedTuple):
    """What a message says of joints."""

    names: tuple[str, ...]  # empty when the type has none
    positions: NDArray[np.float64]  # (J,)
    velocities: NDArray[np.float64]  # (J,), or none


def type_name(schema: str) -> str:
    """Returns JointState for sensor_msgs/msg/JointState and for foxglove.JointState."""
    return schema.replace(".", "/").rsplit("/", 1)[-1]


def read_joints(schema: str, encoding: str, data: bytes) -> Joints:
    """Decodes a message of a type in JOINTS; raises DatasetError when it cannot be one."""
    kind = type_name(schema)
    try:
        joints = _json_joints(_object(data)) if encoding == "json" else _cdr_joints(kind, data)
    except (struct.error, ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
        raise DatasetError(f"a message is no {schema} ({error})") from error
    size = len(joints.positions)
    if not 1 <= size <= MAX_WIDTH or len(joints.names) not in (0, size):
        raise DatasetError(f"a {schema} has {size} positions for {len(joints.names)} names")
    return joints


def read_picture(
    schema: str, encoding: str, data: bytes, what: str, size: tuple[int, int] | None = None
) -> NDArray[np.uint8]:
    """Decodes a message of a type in PICTURES to (height, width, 3) uint8 RGB.

    Raises:
        DatasetError: It is none, has another size than `size`, or is packed in an unknown way.
    """
    is_packed = type_name(schema) == "CompressedImage"
    try:
        if encoding == "json":
            value = _object(data)
            pixels = _bytes(value["data"])
            fields = {} if is_packed else value
        else:
            pixels, fields = _cdr_packed(data) if is_packed else _cdr_image(data)
        if is_packed:
            return decode(pixels, what, size)
        return _plain(fields, pixels, what, size)
    except (struct.error, ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
        raise DatasetError(f"{what} is no {schema} ({error})") from error


def _plain(
    fields: Mapping[str, Any], pixels: bytes, what: str, size: tuple[int, int] | None
) -> NDArray[np.uint8]:
    """Returns a picture that is not packed, rows of `step` bytes."""
    height, width, step = int(fields["height"]), int(fields["width"]), int(fields["step"])
    encoding = str(fields["encoding"])
    check_picture_size(what, height, width)
    if size is not None and (height, width) != size:
        raise DatasetError(f"{what} is {height}x{width}, the camera gives {size[0]}x{size[1]}")
    if encoding not in _CHANNELS:
        known = ", ".join(_CHANNELS)
        raise DatasetError(f"{what} is encoded as {encoding[:20]!r}; known are {known}")
    channels, order = _CHANNELS[encoding]
    if step < width * channels or len(pixels) < height * step:
        raise DatasetError(f"{what} has {len(pixels)} bytes for {height} rows of {step}")
    rows = np.frombuffer(pixels, np.uint8, height * step).reshape(height, step)
    return rows[:, : width * channels].reshape(height, width, channels)[..., list(order)]


def _object(data: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(data)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    if not isinstance(value, dict):
        raise ValueError("no object")
    return value


def _json_joints(value: Mapping[str, Any]) -> Joints:
    if "joints" in value:  # foxglove.JointStates
        joints = value["joints"]
        names = tuple(str(joint["name"]) for joint in joints)
        positions = _array([joint["position"] for joint in joints])
        velocities = [joint.get("velocity") for joint in joints]
        return Joints(names, positions, _array([] if None in velocities else velocities))
    if "data" in value:  # Float64MultiArray
        return Joints((), _array(value["data"]), _array([]))
    names = tuple(str(name) for name in value.get("name") or ())
    return Joints(names, _array(value["position"]), _array(value.get("velocity") or []))


def _array(values: Any) -> NDArray[np.float64]:
    array = np.asarray(values, np.float64)
    if array.ndim != 1:
        raise ValueError("numbers that are no list")
    return array


def _bytes(value: object) -> bytes:
    """Returns bytes out of JSON: base64, as Foxglove has them, or a list of numbers."""
    if isinstance(value, list):
        return bytes(value)
    try:
        return base64.b64decode(str(value), validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error


def _cdr_joints(kind: str, data: bytes) -> Joints:
    """Reads sensor_msgs/JointState or std_msgs/Float64MultiArray."""
    reader = _Cdr(data)
    if kind == "JointState":
        reader.header()
        names = tuple(reader.text() for _ in range(reader.count(MAX_WIDTH)))
        return Joints(names, reader.numbers(np.float64), reader.numbers(np.float64))
    if kind not in ("Float64MultiArray", "Float32MultiArray"):
        raise ValueError(f"{kind} in CDR is not known")
    for _ in range(reader.count(MAX_WIDTH)):  # dimensions: label, size, stride
        reader.text()
        reader.uint()
        reader.uint()
    reader.uint()  # data_offset
    width = np.float64 if kind == "Float64MultiArray" else np.float32
    return Joints((), reader.numbers(width), np.zeros(0))


def _cdr_packed(data: bytes) -> tuple[bytes, Mapping[str, Any]]:
    """Reads sensor_msgs/CompressedImage."""
    reader = _Cdr(data)
    reader.header()
    reader.text()  # format: the bytes say it themselves
    return reader.octets(), {}


def _cdr_image(data: bytes) -> tuple[bytes, Mapping[str, Any]]:
    """Reads sensor_msgs/Image."""
    reader = _Cdr(data)
    reader.header()
    height, width, encoding = reader.uint(), reader.uint(), reader.text()
    reader.skip(1)  # is_bigendian: of one byte a channel it says nothing
    step = reader.uint()
    fields = {"height": height, "width": width, "step": step, "encoding": encoding}
    return reader.octets(), fields


class _Cdr:
    """Reads plain CDR (OMG DDS-XTypes 1.3, 7.4.1): everything aligned to its own size."""

    def __init__(self, data: bytes) -> None:
        if len(data) < 4 or data[0] != 0 or data[1] > 1:
            raise ValueError("no plain CDR")
        self._order = "<" if data[1] else ">"
        self._data = memoryview(data)[4:]  # alignment counts from behind the head
        self._at = 0

    def skip(self, count: int) -> None:
        self._at += count

    def header(self) -> None:
        """Reads std_msgs/Header: stamp (int32 s, uint32 ns) and frame."""
        self.skip(8)
        self.text()

    def uint(self) -> int:
        self._at = -(-self._at // 4) * 4
        (value,) = struct.unpack_from(self._order + "I", self._data, self._at)
        self._at += 4
        return int(value)

    def count(self, limit: int) -> int:
        count = self.uint()
        if count > limit:
            raise ValueError(f"{count} entries, expected at most {limit}")
        return count

    def octets(self, limit: int = 4 * MAX_PICTURE_BYTES) -> bytes:
        return bytes(self._take(self.count(limit)))

    def text(self) -> str:
        return self.octets(4096).rstrip(b"\0").decode("utf-8", "replace")

    def numbers(self, kind: type[np.float64] | type[np.float32]) -> NDArray[np.float64]:
        count = self.count(MAX_WIDTH)
        if not count:
            return np.zeros(0)
        size = np.dtype(kind).itemsize
        self._at = -(-self._at // size) * size
        raw = self._take(count * size)
        return np.frombuffer(raw, f"{self._order}f{size}").astype(np.float64)

    def _take(self, count: int) -> memoryview:
        taken = self._data[self._at : self._at + count]
        if len(taken) < count:
            raise ValueError("cut short")
        self._at += count
        return taken
