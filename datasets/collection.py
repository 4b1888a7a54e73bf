"""A collection: one small file that names datasets, which are then read as one.

No episode is copied. What is recorded or edited in a source later shows in the collection;
edits of the collection are its own and leave the sources as they are.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import msgspec

from demoloop.datasets import lerobot_layout as layout
from demoloop.datasets.contents import Contents
from demoloop.datasets.durable import replace_file
from demoloop.datasets.errors import DatasetError, one_line
from demoloop.datasets.lerobot_files import EpisodeFiles
from demoloop.robot import JointSpec, RobotSpec

FILE = layout.OURS / "collection.json"
_SCHEMA = 1


@dataclass(frozen=True)
class Source:
    """One dataset of a collection."""

    path: str  # from the collection's folder; absolute when on another device
    spec: str  # fingerprint of its robot; empty where that is guessed from the data

    def find(self, collection: Path) -> Path:
        """Returns where the dataset is; raises DatasetError when it is not there any more."""
        folder = Path(os.path.normpath(collection / self.path))
        if not os.path.isdir(folder):  # a Path raises where a name is too long to be one
            raise DatasetError(
                f"{collection} is a collection and its source {str(folder)[:300]} is not there; "
                "move it back, or say where the datasets are by `demoloop dataset merge ... --out` "
                "anew"
            )
        return folder

    def check(self, collection: Path, contents: Contents) -> None:
        """Raises DatasetError when another robot's data stands where the source was."""
        if self.spec and self.spec != contents.spec.fingerprint():
            raise DatasetError(
                f"{collection}: its source {contents.root} now is of another robot "
                f"({contents.spec.name}) than when they were merged; merge anew"
            )


@dataclass(frozen=True)
class _File:
    sources: tuple[Source, ...]
    schema: int = _SCHEMA


def is_collection(root: Path) -> bool:
    """Says whether the folder names datasets instead of holding episodes."""
    return (root / FILE).exists()


def read_sources(root: Path) -> tuple[Source, ...]:
    """Returns the datasets a collection names."""
    path = root / FILE
    try:
        file = msgspec.json.decode(path.read_bytes(), type=_File)
    except (OSError, UnicodeDecodeError, RecursionError, msgspec.MsgspecError) as error:
        raise DatasetError(
            f"{path} is damaged ({one_line(error)}); merge the datasets anew"
        ) from error
    if not all(source.path.isprintable() for source in file.sources):
        raise DatasetError(f"{path} names a source by what is no path; merge the datasets anew")
    if file.schema != _SCHEMA or not file.sources:
        raise DatasetError(
            f"{path} has schema {file.schema} and {len(file.sources)} sources; this version "
            f"reads schema {_SCHEMA} with one source at least"
        )
    return file.sources


def write_collection(out: Path, sources: Sequence[Contents]) -> None:
    """Writes the file; raises DatasetError when there is something else in the folder."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DatasetError(f"{out} is not empty; merge into a new folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
        file = _File(tuple(_source(out, contents) for contents in sources))
        text = json.dumps(asdict(file), indent=2)
        replace_file(out / FILE, lambda path: _write(path, text))
    except OSError as error:
        raise DatasetError(
            f"{out} cannot be written ({error.strerror}); make room or choose another folder"
        ) from error


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _source(out: Path, contents: Contents) -> Source:
    folder = contents.root.resolve()
    is_near = folder.stat().st_dev == out.stat().st_dev
    path = os.path.relpath(folder, out.resolve()) if is_near else str(folder)
    return Source(path, contents.spec.fingerprint() if contents.has_own_spec else "")


def joined_contents(root: Path, parts: Sequence[Contents]) -> Contents:
    """Returns the episodes of all parts, numbered through.

    Raises:
        DatasetError: The robots differ, or an episode is in two parts.
    """
    first = parts[0]
    for other in parts[1:]:
        _check_same_robot(first, other)
    episodes: list[EpisodeFiles] = []
    seen: dict[str, tuple[Contents, EpisodeFiles]] = {}
    for part in parts:
        for files in part.episodes:
            if files.info.uuid in seen:
                raise _doubled(seen[files.info.uuid], (part, files))
            seen[files.info.uuid] = part, files
            info = replace(files.info, index=len(episodes))
            episodes.append(replace(files, info=info))
    spec = first.spec if first.has_own_spec else _widest([part.spec for part in parts])
    missing = [f"{part.root}: {sentence}" for part in parts for sentence in part.missing]
    return replace(first, root=root, spec=spec, episodes=episodes, missing=missing)


def _doubled(
    old: tuple[Contents, EpisodeFiles], new: tuple[Contents, EpisodeFiles]
) -> DatasetError:
    (part, files), (other, same) = old, new
    return DatasetError(
        f"episode {files.info.index} of {part.root} and episode {same.info.index} of {other.root} "
        f"are the same recording; drop one of them, such as by `demoloop dataset drop "
        f"{other.root} {same.info.index}`"
    )


def _check_same_robot(one: Contents, other: Contents) -> None:
    """Raises DatasetError naming the first joint, camera or number in which two robots differ."""
    if one.has_own_spec != other.has_own_spec:
        known, guessed = (one, other) if one.has_own_spec else (other, one)
        raise DatasetError(
            f"{known.root} says the limits and units of its joints, {guessed.root} does not; "
            "import the latter by `demoloop dataset import` before they are merged"
        )
    pairs = [
        ("joint", _joints(one), _joints(other)),
        ("camera", _cameras(one.spec), _cameras(other.spec)),
        ("", {"robot": one.spec.name}, {"robot": other.spec.name}),
        ("", {"rate": f"{one.fps} Hz"}, {"rate": f"{other.fps} Hz"}),
        ("", _order(one), _order(other)),
        ("", {"what is pointed at": _pointed_at(one)}, {"what is pointed at": _pointed_at(other)}),
    ]
    for what, ours, theirs in pairs:
        for name in dict.fromkeys([*ours, *theirs]):
            if ours.get(name) != theirs.get(name):
                raise DatasetError(
                    f"{one.root} and {other.root} do not agree: {f'{what} {name}'.strip()} is "
                    f"{ours.get(name, 'absent')} in the one and {theirs.get(name, 'absent')} in "
                    "the other; merge datasets of one robot only"
                )


def _joints(contents: Contents) -> dict[str, str]:
    """Returns what must agree of each joint: where limits are guessed, only that it is there."""
    if not contents.has_own_spec:
        return dict.fromkeys(contents.spec.joint_names, "there")
    return {
        joint.name: f"{joint.low:g}..{joint.high:g} {joint.unit}, at most "
        f"{joint.max_velocity:g}/s and {joint.max_acceleration:g}/s^2"
        for joint in contents.spec.joints
    }


def _cameras(spec: RobotSpec) -> dict[str, str]:
    return {camera.name: f"{camera.height}x{camera.width}" for camera in spec.cameras}


def _pointed_at(contents: Contents) -> str:
    marks = contents.marks
    return "nothing" if marks is None else f"{', '.join(marks.names)} ({marks.camera})"


def _order(contents: Contents) -> dict[str, str]:
    return {
        "the order of joints": ", ".join(contents.spec.joint_names),
        "the order of readings": ", ".join(contents.proprioception_names),
        "the order of cameras": ", ".join(contents.spec.camera_names),
    }


def _widest(specs: Sequence[RobotSpec]) -> RobotSpec:
    """Returns a spec whose joints may do whatever was guessed from any of the datasets."""
    joints = tuple(
        JointSpec(
            name=same[0].name,
            low=min(joint.low for joint in same),
            high=max(joint.high for joint in same),
            max_velocity=max(joint.max_velocity for joint in same),
            max_acceleration=max(joint.max_acceleration for joint in same),
            unit=same[0].unit,
        )
        for same in zip(*(spec.joints for spec in specs), strict=True)
    )
    return replace(specs[0], joints=joints)
