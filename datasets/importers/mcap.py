"""MCAP recordings, by ROS 2 or in Foxglove's JSON: each file is an episode.

Streams are put on a grid by `resample`; gaps are reported, not filled with anything but the last
value. Time is when a message was logged, the one clock that all topics share.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from demoloop.datasets.episode import Episode
from demoloop.datasets.errors import DatasetError
from demoloop.datasets.importers import mcap_messages as messages
from demoloop.datasets.importers.found import (
    MAX_EPISODES,
    MAX_RATE,
    NO_READING,
    NO_TASK,
    Found,
    ImportOptions,
    Item,
    Skipped,
    camera_names,
    check_rate,
    make_spec,
    numbered,
    unlike,
)
from demoloop.datasets.importers.hdf5_episodes import chosen
from demoloop.datasets.importers.mcap_file import is_mcap_file, read_messages
from demoloop.datasets.importers.pictures import room_for
from demoloop.datasets.importers.resample import answers, gaps, latest, make_ticks
from demoloop.datasets.spec_from_data import joints_from_data
from demoloop.robot import CameraSpec, RobotSpec

COMMAND = re.compile(r"command|cmd|action|target|goal|leader|desired|setpoint", re.IGNORECASE)
"""What the name of a topic has in it when it says where joints shall go."""


@dataclass
class Stream:
    """One topic of one file."""

    schema: str
    encoding: str
    times: array[int] = field(default_factory=lambda: array("q"))  # ns
    joints: list[messages.Joints] = field(default_factory=list)
    size: tuple[int, int] | None = None  # (height, width) of the first picture

    @property
    def is_picture(self) -> bool:
        """Whether the topic is a camera."""
        return messages.type_name(self.schema) in messages.PICTURES

    def in_time(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Returns the times [ns] in order, and the number of the message each is of."""
        times = np.array(self.times, np.int64)
        order = np.argsort(times, kind="stable")
        return times[order], order

    def numbers(self, topic: str) -> tuple[tuple[str, ...], NDArray[np.float64]]:
        """Returns names and (messages, width): positions, then velocities where all have them.

        Raises:
            DatasetError: The messages do not speak of the same joints.
        """
        first = self.joints[0]
        width = len(first.positions)
        place = {name: number for number, name in enumerate(first.names)}
        if len(place) != len(first.names):
            raise DatasetError(f"{topic}: a message names a joint twice")
        has_velocity = all(len(joints.velocities) == width for joints in self.joints)
        rows = np.empty((len(self.joints), width * (1 + has_velocity)))
        for row, joints in zip(rows, self.joints, strict=True):
            if set(joints.names) != set(first.names) or len(joints.positions) != width:
                raise DatasetError(f"{topic}: a message speaks of other joints than the first")
            order = [place[name] for name in joints.names] or slice(None)
            row[:width][order] = joints.positions
            if has_velocity:
                row[width:][order] = joints.velocities
        if not np.isfinite(rows).all():
            raise DatasetError(f"{topic}: a message holds a number that is not finite")
        names = first.names or numbered(topic.strip("/").replace("/", "_"), width)
        endings = (".pos", ".vel") if has_velocity else (".pos",)
        return tuple(name + ending for ending in endings for name in names), rows


@dataclass(frozen=True)
class Topics:
    """Which topics are what."""

    states: tuple[str, ...]
    action: str
    cameras: dict[str, str]  # topic -> camera

    @property
    def observed(self) -> list[str]:
        """All that an observation is made of."""
        return [*self.states, *self.cameras]

    @property
    def all(self) -> list[str]:
        """All that is read."""
        return [*self.observed, self.action]


@dataclass(frozen=True)
class Plan:
    """What the first file that can be used has, and so shall the others."""

    topics: Topics
    readings: tuple[str, ...]
    commands: tuple[str, ...]
    cameras: tuple[CameraSpec, ...]
    fps: int


def is_mcap(source: Path) -> bool:
    """Says whether this is an MCAP file or a folder that holds some."""
    return any(is_mcap_file(path) for path in _files(source)[:10])


def find(source: Path, options: ImportOptions) -> Found:
    """Looks through all files: which topics there are, and what the joints did."""
    skipped: list[Skipped] = []
    notes: list[str] = []
    whole: list[Path] = []
    actions: list[NDArray[np.float32]] = []
    plan: Plan | None = None
    for path in _files(source)[:MAX_EPISODES]:
        try:
            streams = _survey(path, notes)
            plan = plan or _plan(path, streams, options)
            _, _, values = _lowdim(path, streams, plan.topics, plan.fps)
            if values.shape[1] != len(plan.commands):
                raise DatasetError(f"{values.shape[1]} commands a step, not {len(plan.commands)}")
            for topic in plan.topics.all:
                notes.extend(_gap(path, topic, streams[topic], plan.fps))
        except DatasetError as error:
            skipped.append(Skipped(path.name, str(error)))
            continue
        whole.append(path)
        actions.append(values)
    if plan is None or not whole:
        why = f"{skipped[0].name}: {skipped[0].why}" if skipped else "there is no MCAP file"
        raise DatasetError(f"{source}: no episode can be used; {why}")
    if options.fps is None:
        notes.append(f"{plan.fps} steps a second, as the slowest topic; --fps gives another")
    joints = joints_from_data(unlike(plan.commands), actions, plan.fps)
    readings = unlike(plan.readings or [NO_READING])
    spec = make_spec(options.robot or "mcap", joints, readings, plan.cameras, plan.fps)
    read = partial(_episode, plan.topics, spec, options)
    items = [Item(path.name, partial(read, path)) for path in whole]
    names = {**plan.topics.cameras, plan.topics.action: "action"}
    names |= dict.fromkeys(plan.topics.states, "observation.state")
    return Found(spec, items, names, skipped, notes)


def _plan(path: Path, streams: dict[str, Stream], options: ImportOptions) -> Plan:
    """Takes a file for the measure of all."""
    topics = _choose(path, streams, options)
    sizes = ((camera, streams[topic].size) for topic, camera in topics.cameras.items())
    return Plan(
        topics,
        tuple(name for topic in topics.states for name in streams[topic].numbers(topic)[0]),
        _command_names(streams, topics),
        tuple(CameraSpec(camera, *size) for camera, size in sizes if size),
        check_rate(_rate(streams, topics), path, options.fps),
    )


def _survey(path: Path, notes: list[str]) -> dict[str, Stream]:
    """Reads what joints say, and when pictures came, of every topic that is understood."""
    streams: dict[str, Stream] = {}
    damage: list[str] = []
    for message in read_messages(path, damage):
        kind = messages.type_name(message.schema)
        known = (*messages.JOINTS, *messages.PICTURES)
        if kind not in known or message.encoding not in messages.ENCODINGS:
            continue
        stream = streams.setdefault(message.topic, Stream(message.schema, message.encoding))
        if not 0 <= message.time < 1 << 62:
            raise DatasetError(f"{message.topic}: a message of {message.time} ns")
        if stream.is_picture:
            if stream.size is None:
                picture = messages.read_picture(*message[1:3], message.data, message.topic)
                stream.size = (picture.shape[0], picture.shape[1])
        else:
            stream.joints.append(messages.read_joints(*message[1:3], message.data))
        stream.times.append(message.time)
    notes.extend(damage)
    return streams


def _choose(path: Path, streams: dict[str, Stream], options: ImportOptions) -> Topics:
    """Decides which topics are what; raises DatasetError that lists those there are."""
    joints = [topic for topic, stream in streams.items() if not stream.is_picture]
    pictures = [topic for topic, stream in streams.items() if stream.is_picture]
    actions = chosen(path, "topic", joints, options.action)
    actions = actions or tuple(topic for topic in joints if COMMAND.search(topic))
    if len(actions) != 1:
        raise DatasetError(
            f"{path} has {len(actions)} topics that may be commands, among "
            f"{', '.join(joints) or 'no topic of joints'}; --action names the one"
        )
    states = chosen(path, "topic", joints, options.state) or tuple(
        topic
        for topic in joints
        if topic not in actions and messages.type_name(streams[topic].schema).startswith("Joint")
    )
    cameras = chosen(path, "topic", pictures, options.cameras) or tuple(pictures)
    return Topics(states, actions[0], camera_names(cameras))


def _command_names(streams: dict[str, Stream], topics: Topics) -> tuple[str, ...]:
    """Returns the joints a command is for; one without names is for those that are read."""
    first = streams[topics.action].joints[0]
    width = len(first.positions)
    read = tuple(name for topic in topics.states for name in streams[topic].joints[0].names)
    return first.names or (read if len(read) == width else numbered("action", width))


def _rate(streams: dict[str, Stream], topics: Topics) -> float:
    """Returns the rate [Hz] of the slowest topic, in whole steps."""
    rates = []
    for topic in topics.all:
        times = streams[topic].in_time()[0]
        pause = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
        rates.append(1e9 / pause if pause > 0 else float(MAX_RATE))
    return float(max(1, round(min([*rates, float(MAX_RATE)]))))


def _gap(path: Path, topic: str, stream: Stream, fps: int) -> Sequence[str]:
    count, where, longest = gaps(stream.in_time()[0], fps)
    if not count:
        return ()
    return (f"{path.name}: {count} gaps in {topic}, the longest {longest:.2f} s at {where:.2f} s",)


def _lowdim(
    path: Path, streams: dict[str, Stream], topics: Topics, fps: int
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
    """Returns ticks [ns], readings (T, P) and commands (T, A) of a file."""
    for topic in topics.all:
        if topic not in streams:
            raise DatasetError(f"{path.name} has no topic {topic}")
    action_times, order = streams[topics.action].in_time()
    observed = [streams[topic].in_time() for topic in topics.observed]
    ticks = make_ticks([times for times, _ in observed], action_times, fps, path.name)
    width = len(streams[topics.action].joints[0].positions)
    values = streams[topics.action].numbers(topics.action)[1][:, :width]
    actions = values[order][answers(action_times, ticks, fps)]
    parts = [
        streams[topic].numbers(topic)[1][order][latest(times, ticks)]
        for topic, (times, order) in zip(topics.states, observed, strict=False)
    ]
    readings = np.concatenate(parts, axis=1) if parts else np.zeros((len(ticks), 1))
    with np.errstate(over="ignore"):  # becomes inf, which a dataset refuses
        return ticks, readings.astype(np.float32), actions.astype(np.float32)


def _episode(topics: Topics, spec: RobotSpec, options: ImportOptions, path: Path) -> Episode:
    """Reads one file: first the joints and the times, then the pictures that are needed."""
    streams = _survey(path, [])
    ticks, readings, actions = _lowdim(path, streams, topics, int(spec.control_hz))
    images: dict[str, NDArray[np.uint8]] = {}
    image_times = {}
    wanted: dict[str, dict[int, list[int]]] = {}  # topic -> number of message -> ticks
    for topic, camera in topics.cameras.items():
        times, order = streams[topic].in_time()
        shown = latest(times, ticks)
        image_times[camera] = (times[shown] - ticks[0]) / 1e9
        wanted[topic] = {}
        for tick, number in enumerate(order[shown]):
            wanted[topic].setdefault(int(number), []).append(tick)
        size = spec.camera(camera)
        images[camera] = room_for(len(ticks), (size.height, size.width), topic)
    counts = dict.fromkeys(topics.cameras, 0)
    for message in read_messages(path, []):
        if message.topic not in counts:
            continue
        number = counts[message.topic]
        counts[message.topic] += 1
        if steps := wanted[message.topic].get(number):
            shown_by = spec.camera(topics.cameras[message.topic])
            what = f"{message.topic}, message {number}"
            expected = (shown_by.height, shown_by.width)
            picture = messages.read_picture(*message[1:3], message.data, what, expected)
            images[shown_by.name][steps] = picture[..., ::-1] if options.is_bgr else picture
    return Episode(
        task=options.task or NO_TASK,
        time=(ticks - ticks[0]) / 1e9,
        proprioception=readings,
        actions=actions,
        images=images,
        image_times=image_times,
    )


def _files(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    return sorted(source.glob("*.mcap")) if source.is_dir() else []
