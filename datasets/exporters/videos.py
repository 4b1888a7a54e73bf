"""A part of a video as a file of its own, with as little re-encoding as can be."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from demoloop.datasets import lerobot_layout as layout
from demoloop.datasets.lerobot_files import VideoPart
from demoloop.robot import CameraSpec
from demoloop.robot.video import VideoWriter


def write_part(
    part: VideoPart,
    length: int,
    target: Path,
    camera: CameraSpec,
    fps: int,
    frames: Iterable[NDArray[np.uint8]],
) -> str:
    """Writes `length` frames of `part` to `target`; returns how: copied, cut or encoded.

    A file that holds nothing else is copied byte for byte. From one that holds more, the packets
    are copied where the part begins with a key frame and shows its frames in the order they are
    coded, which is what demoloop and LeRobot write. Only what begins between key frames is encoded
    again, from `frames`.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    packets = _packet_times(part.path)
    if packets is not None:
        times, keys = packets
        end = part.first + length
        if part.first == 0 and end == len(times):
            shutil.copyfile(part.path, target)
            return "copied"
        if end <= len(times) and keys[part.first]:
            _cut(part.path, part.first, end, target)
            return "cut"
    pixels, crf = layout.video_format(camera.height, camera.width)
    with VideoWriter(
        target,
        fps,
        camera.height,
        camera.width,
        crf=crf,
        pixel_format=pixels,
        keyframe_every=layout.KEYFRAME_EVERY,
    ) as video:
        for frame in frames:
            video.add(frame)
    return "encoded"


def _packet_times(path: Path) -> tuple[list[int], list[bool]] | None:
    """Returns time and key flag of every packet; None when their order is not the shown one."""
    import av

    with av.open(str(path)) as container:
        packets = [(p.pts, p.is_keyframe) for p in container.demux(video=0) if p.size]
    times = [time for time, _ in packets if time is not None]
    is_in_order = all(before < after for before, after in pairwise(times))
    if len(times) < len(packets) or not is_in_order:
        return None
    return times, [is_key for _, is_key in packets]


def _cut(path: Path, first: int, end: int, target: Path) -> None:
    """Copies packets first .. end - 1, the first shown at 0 s."""
    import av

    with (
        av.open(str(path)) as source,
        av.open(str(target), "w", format="mp4", options={"movflags": "faststart"}) as out,
    ):
        stream = source.streams.video[0]
        copied = out.add_stream_from_template(stream, opaque=True)  # needs no encoder of that codec
        begin = None
        for number, packet in enumerate(p for p in source.demux(stream) if p.size):
            if not first <= number < end or packet.pts is None:
                continue
            begin = packet.pts if begin is None else begin
            packet.dts = packet.pts = packet.pts - begin
            packet.stream = copied
            out.mux(packet)
