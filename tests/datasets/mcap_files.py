"""Writes small MCAP recordings, by ROS 2's and by Foxglove's message types."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from mcap.writer import CompressionType
from mcap.writer import Writer as JsonWriter
from mcap_ros2.writer import Writer as Ros2Writer

STATE, ACTION, CAMERA = "/joint_states", "/joint_commands", "/camera/front/compressed"

_STAMP = "================================================================================\n"
_HEADER = (
    _STAMP + "MSG: std_msgs/Header\nbuiltin_interfaces/Time stamp\nstring frame_id\n"
    + _STAMP + "MSG: builtin_interfaces/Time\nint32 sec\nuint32 nanosec\n"
)  # fmt: skip
ROS2 = {
    "sensor_msgs/msg/JointState": "std_msgs/Header header\nstring[] name\nfloat64[] position\n"
    "float64[] velocity\nfloat64[] effort\n" + _HEADER,
    "sensor_msgs/msg/CompressedImage": "std_msgs/Header header\nstring format\nuint8[] data\n"
    + _HEADER,
    "sensor_msgs/msg/Image": "std_msgs/Header header\nuint32 height\nuint32 width\n"
    "string encoding\nuint8 is_bigendian\nuint32 step\nuint8[] data\n" + _HEADER,
    "std_msgs/msg/Float64MultiArray": "std_msgs/MultiArrayLayout layout\nfloat64[] data\n"
    + _STAMP
    + "MSG: std_msgs/MultiArrayLayout\nstd_msgs/MultiArrayDimension[] dim\nuint32 data_offset\n"
    + _STAMP
    + "MSG: std_msgs/MultiArrayDimension\nstring label\nuint32 size\nuint32 stride\n",
}


class Said(NamedTuple):
    """One message to write."""

    topic: str
    kind: str  # JointState, CompressedImage, Image, Float64MultiArray
    time: int  # ns
    value: dict[str, Any]


def bars(number: int) -> np.ndarray:
    """(32, 48, 3): bar b is white if bit b of `number` is set, as the fixture `numbers` reads."""
    picture = np.zeros((32, 48, 3), np.uint8)
    picture[:16] = np.repeat((number >> np.arange(12)) & 1, 4)[None, :, None] * 255
    return picture


def joint_state(topic: str, time: int, position: list[float], velocity: list[float]) -> Said:
    names = ["hip", "knee"][: len(position)]
    value = {"name": names, "position": position, "velocity": velocity, "effort": []}
    return Said(topic, "JointState", time, value)


def compressed(topic: str, time: int, number: int, ending: str = ".jpg") -> Said:
    coded = cv2.imencode(ending, bars(number))[1].tobytes()
    return Said(topic, "CompressedImage", time, {"format": ending[1:], "data": coded})


def plain(topic: str, time: int, number: int, encoding: str) -> Said:
    picture = bars(number)
    if encoding == "mono8":
        picture = picture[..., :1]
    rows = np.zeros((32, 160), np.uint8)  # rows may be longer than the picture is wide
    rows[:, : 48 * picture.shape[2]] = picture.reshape(32, -1)
    fields = {"height": 32, "width": 48, "encoding": encoding, "step": 160}
    return Said(topic, "Image", time, {**fields, "is_bigendian": 0, "data": rows.tobytes()})


def write_ros2(path: Path, said: Iterable[Said]) -> Path:
    header = {"stamp": {"sec": 1, "nanosec": 2}, "frame_id": "base"}
    with path.open("wb") as file:
        writer = Ros2Writer(file, chunk_size=4096)
        schemas = {name: writer.register_msgdef(name, text) for name, text in ROS2.items()}
        for message in said:
            name = next(name for name in ROS2 if name.endswith("/" + message.kind))
            value = message.value if name.startswith("std_msgs") else {"header": header}
            value = {**value, **message.value}
            writer.write_message(message.topic, schemas[name], value, log_time=message.time)
        writer.finish()
    return path


def write_json(
    path: Path, said: Iterable[Said], compression: CompressionType = CompressionType.LZ4
) -> Path:
    with path.open("wb") as file:
        writer = JsonWriter(file, chunk_size=4096, compression=compression)
        writer.start()
        kinds = {
            "CompressedImage": "foxglove.CompressedImage",
            "Image": "foxglove.RawImage",
            "JointState": "foxglove.JointStates",
            "Float64MultiArray": "Float64MultiArray",
        }
        schemas = {
            kind: writer.register_schema(name, "jsonschema", b"{}") for kind, name in kinds.items()
        }
        channels: dict[str, int] = {}
        for message in said:
            if message.topic not in channels:
                channels[message.topic] = writer.register_channel(
                    message.topic, "json", schemas[message.kind]
                )
            data = json.dumps(_foxglove(message)).encode()
            writer.add_message(channels[message.topic], message.time, data, message.time)
        writer.finish()
    return path


def _foxglove(message: Said) -> dict[str, Any]:
    value = dict(message.value)
    if "name" in value:
        columns = [value["name"], value["position"], value["velocity"] or [None] * 9]
        rows = zip(*columns, strict=False)
        return {"joints": [{"name": n, "position": p, "velocity": v} for n, p, v in rows]}
    if isinstance(value["data"], bytes):
        value["data"] = base64.b64encode(value["data"]).decode()
    return value
