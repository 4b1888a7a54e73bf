"""The parts of an arm as its MJCF says: frames, joints and primitive shapes. No MuJoCo needed.

As much of the format as the arms here use: nested bodies, default classes, one hinge or slide per
body, boxes, cylinders, capsules and spheres; anything that would be read wrongly is refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from demoloop.robot.errors import RobotError

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Shape:
    """The box around one primitive, in the frame of its part."""

    half: Vector  # (3,) m
    position: Vector  # (3,) m
    rotation: Vector  # (3, 3)


@dataclass(frozen=True)
class Part:
    """One rigid body and the joint that carries it."""

    name: str
    parent: int  # index of a part that comes before; -1: the world
    position: Vector  # (3,) m, in the parent's frame
    rotation: Vector  # (3, 3)
    joint: str  # empty: fixed to its parent
    is_sliding: bool
    axis: Vector  # (3,), unit
    joint_position: Vector  # (3,) m
    range: tuple[float, float]  # rad or m
    shapes: tuple[Shape, ...]


def read_parts(path: Path) -> tuple[Part, ...]:
    """Reads the arm, parents before children.

    Raises:
        RobotError: The file cannot be read, or uses what is not understood here.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise RobotError(f"{path} cannot be read as an MJCF: {error}") from error
    compiler = {key: value for it in root.iter("compiler") for key, value in it.attrib.items()}
    if compiler.get("eulerseq", "xyz") != "xyz" or root.find(".//include") is not None:
        raise RobotError(f"{path.name}: eulerseq other than xyz, or an include, is not read here")
    reader = _Reader(path.name, compiler.get("angle", "degree") == "degree")
    for default in root.findall("default"):
        reader.read_defaults(default, {})
    for world in root.findall("worldbody"):
        for body in world.findall("body"):
            reader.read_body(body, -1, "main")
    return tuple(reader.parts)


class _Reader:
    def __init__(self, name: str, is_in_degrees: bool) -> None:
        self.parts: list[Part] = []
        self._file = name
        self._angle = math.pi / 180 if is_in_degrees else 1.0
        self._defaults: dict[str, dict[str, dict[str, str]]] = {"main": {}}

    def read_defaults(self, element: Element, above: Mapping[str, dict[str, str]]) -> None:
        own = {tag: dict(values) for tag, values in above.items()}
        for child in element:
            if child.tag != "default":
                own.setdefault(child.tag, {}).update(child.attrib)
        self._defaults[element.get("class", "main")] = own
        for child in element.findall("default"):
            self.read_defaults(child, own)

    def read_body(self, body: Element, parent: int, above: str) -> None:
        inherited = body.get("childclass", above)
        joints = [self._attributes(joint, inherited) for joint in body.findall("joint")]
        name = body.get("name", f"part {len(self.parts)}")
        if len(joints) > 1 or body.find("freejoint") is not None:
            raise RobotError(f"{self._file}: body {name!r} has more than one joint")
        joint = joints[0] if joints else {}
        kind = joint.get("type", "hinge")
        if kind not in ("hinge", "slide"):
            raise RobotError(f"{self._file}: body {name!r} has a {kind} joint, not hinge or slide")
        axis = _numbers(joint.get("axis", "0 0 1"))
        low, high = _numbers(joint.get("range", "0 0"))
        unit = 1.0 if kind == "slide" else self._angle
        at = len(self.parts)
        self.parts.append(
            Part(
                name=name,
                parent=parent,
                position=_numbers(body.get("pos", "0 0 0")),
                rotation=self._rotation(body.attrib),
                joint=(joint.get("name") or "joint without a name") if joints else "",
                is_sliding=kind == "slide",
                axis=axis / np.linalg.norm(axis),
                joint_position=_numbers(joint.get("pos", "0 0 0")),
                range=(float(low) * unit, float(high) * unit),
                shapes=tuple(self._shapes(body, inherited)),
            )
        )
        for child in body.findall("body"):
            self.read_body(child, at, inherited)

    def _shapes(self, body: Element, inherited: str) -> Iterator[Shape]:
        for geom in body.findall("geom"):
            it = self._attributes(geom, inherited)
            kind = it.get("type", "sphere")
            size: Vector = _numbers(it.get("size", "0 0 0"))
            position, rotation = _numbers(it.get("pos", "0 0 0")), self._rotation(it)
            if "fromto" in it:
                ends: Vector = _numbers(it["fromto"])
                start, end = ends[:3], ends[3:]
                position, rotation = (
                    (start + end) / 2,
                    _along(end - start),
                )
                size = np.array([size[0], float(np.linalg.norm(end - start)) / 2])
            if kind == "box":
                half = size
            elif kind in ("cylinder", "capsule"):
                half = np.array([size[0], size[0], size[1] + size[0] * (kind == "capsule")])
            elif kind in ("sphere", "ellipsoid"):
                half = size if kind == "ellipsoid" else np.full(3, size[0])
            elif kind == "mesh":
                continue
            else:
                raise RobotError(f"{self._file}: a geom of type {kind!r} is not read here")
            yield Shape(half, position, rotation)

    def _attributes(self, element: Element, inherited: str) -> dict[str, str]:
        """Returns what the element says, and where it is silent what its class says."""
        name = element.get("class", inherited)
        if name not in self._defaults:
            raise RobotError(f"{self._file}: there is no default class {name!r}")
        return {**self._defaults[name].get(element.tag, {}), **element.attrib}

    def _rotation(self, attributes: Mapping[str, str]) -> Vector:
        strange = {"axisangle", "xyaxes", "zaxis"} & set(attributes)
        if strange:
            raise RobotError(f"{self._file}: {strange.pop()} is not read here; write quat or euler")
        if "quat" in attributes:
            w, x, y, z = (q := _numbers(attributes["quat"])) / np.linalg.norm(q)
            return np.array(
                [
                    [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
                    [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
                    [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
                ]
            )
        rotation = np.eye(3)
        for axis, angle in enumerate(_numbers(attributes.get("euler", "0 0 0")) * self._angle):
            cos, sin = np.cos(angle), np.sin(angle)
            one, other = (axis + 1) % 3, (axis + 2) % 3
            turn = np.eye(3)
            turn[one, one] = turn[other, other] = cos
            turn[one, other], turn[other, one] = -sin, sin
            rotation = rotation @ turn
        return rotation


def _along(direction: Vector) -> Vector:
    """A rotation (3, 3) that brings z to a direction; how it turns about it does not matter."""
    rotation = np.eye(3)
    rotation[2] = direction / np.linalg.norm(direction)
    aside = np.eye(3)[int(np.argmin(np.abs(rotation[2])))]
    rotation[0] = np.cross(rotation[2], aside)
    rotation[0] /= np.linalg.norm(rotation[0])
    rotation[1] = np.cross(rotation[2], rotation[0])
    return rotation.T


def _numbers(text: str) -> Vector:
    return np.array([float(word) for word in text.split()])
