"""Whether what is to be recorded can go into a folder: its robot, its marks, what is there."""

from __future__ import annotations

from pathlib import Path

from demoloop.datasets import lerobot_layout as layout
from demoloop.datasets.collection import is_collection
from demoloop.datasets.errors import DatasetError
from demoloop.datasets.lerobot_info import Info
from demoloop.robot import Marks, RobotSpec


def check_spec(spec: RobotSpec, marks: Marks | None) -> None:
    """Raises DatasetError for what LeRobot cannot hold, or marks in a camera that is not there."""
    if marks is not None and marks.camera not in spec.camera_names:
        raise DatasetError(
            f"marks are in the picture of camera {marks.camera!r}; {spec.name} has "
            f"{', '.join(spec.camera_names) or 'none'}"
        )
    if spec.control_hz < 1 or spec.control_hz != int(spec.control_hz):
        raise DatasetError(
            f"{spec.name} has a control rate of {spec.control_hz} Hz; a LeRobot dataset needs a "
            "whole number of frames per second"
        )
    for camera in spec.camera_names:
        if "/" in camera:
            raise DatasetError(f"camera {camera!r}: LeRobot allows no '/' in a name; rename it")


def check_folder(root: Path) -> None:
    """Raises DatasetError when something else is in the folder."""
    if is_collection(root):
        raise DatasetError(
            f"{root} is a collection, which holds no recording; record into one of its datasets"
        )
    if root.exists() and not (root / layout.INFO).exists():
        # A writer killed while creating the dataset leaves its own folder, and an empty meta.
        known = {layout.OURS.name, layout.INFO.parent.name}
        if not root.is_dir() or any(entry.name not in known for entry in root.iterdir()):
            raise DatasetError(f"{root} is not empty and no dataset; record into a new folder")


def check_same(root: Path, info: Info, ours: RobotSpec, marks: Marks | None) -> None:
    """Raises DatasetError that names the first difference between a dataset and what is to come."""
    theirs = info.spec
    if theirs is None:
        raise DatasetError(f"{root} was not written by demoloop; record into a new folder")
    if info.marks != marks:
        there, here = (
            "nothing" if one is None else f"{', '.join(one.names)} in the picture of {one.camera}"
            for one in (info.marks, marks)
        )
        raise DatasetError(
            f"in {root} people point at {there}, now at {here}; record into a new folder"
        )
    if theirs == ours:
        return
    for what, old, new in (
        ("joint", {j.name: j for j in theirs.joints}, {j.name: j for j in ours.joints}),
        ("camera", {c.name: c for c in theirs.cameras}, {c.name: c for c in ours.cameras}),
    ):
        for name in [*old, *new]:
            if old.get(name) != new.get(name):
                difference = (
                    f"{what} {name!r} is {old.get(name) or 'absent'} in the dataset and "
                    f"{new.get(name) or 'absent'} on the robot"
                )
                break
        else:
            continue
        break
    else:
        difference = (
            f"it holds {theirs.name} at {theirs.control_hz:g} Hz with {theirs.joint_names}, the "
            f"robot is {ours.name} at {ours.control_hz:g} Hz with {ours.joint_names}"
        )
    raise DatasetError(f"{root} is of another robot: {difference}; record into a new folder")
