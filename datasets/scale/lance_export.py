"""Writes a dataset as one Lance table, to be read in parts from an object store.

A row is an episode of the view: its numbers, and each camera's encoded video as a blob, which is
read only when it is asked for. Nothing is decoded or encoded. Lance keeps the version before.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import lance
import pyarrow as pa
from tqdm import tqdm

from demoloop.datasets.errors import DatasetError, one_line
from demoloop.datasets.lerobot_files import VideoPart
from demoloop.datasets.lerobot_read import Dataset
from demoloop.datasets.stats import FeatureStats, to_lerobot
from demoloop.robot.video import VideoError

PROPRIOCEPTION, ACTION = "proprioception", "action"
VIDEO, FIRST = "video_", "first_frame_"
"""Columns of a camera: the mp4, and the number in it of the episode's first frame."""


def export_lance(dataset: Dataset, out: Path, progress: bool = True) -> int:
    """Writes the episodes of a view to a Lance table and returns its version.

    Where the table exists already, this is its next version; the earlier ones can still be read.

    Args:
        dataset: What to write; edits are applied.
        out: Folder of the table, such as `pick.lance`.
        progress: Whether to show a progress bar.

    Raises:
        DatasetError: The folder is something else, an episode is damaged, or the disk is full.
    """
    if out.exists() and not (out / "_versions").is_dir():
        raise DatasetError(f"{out} exists and is no Lance table; choose another name")
    schema = _schema(dataset)
    episodes = range(len(dataset.episodes))
    errors: list[DatasetError] = []
    with tqdm(episodes, "writing episodes", unit="episode", disable=not progress) as bar:
        batches = (pa.RecordBatch.from_pylist([_row(dataset, i)], schema) for i in bar)
        reader = pa.RecordBatchReader.from_batches(schema, _hold_errors(batches, errors))
        try:
            mode = "overwrite" if out.exists() else "create"
            table = lance.write_dataset(reader, out, mode=mode)
        except (OSError, ValueError) as error:
            if errors:  # ours come back through Lance as text only
                raise errors[0] from error
            raise DatasetError(
                f"{out} cannot be written: {one_line(error)}; make room or choose another folder"
            ) from error
    return int(table.version)


def _hold_errors(
    batches: Iterator[pa.RecordBatch], errors: list[DatasetError]
) -> Iterator[pa.RecordBatch]:
    try:
        yield from batches
    except DatasetError as error:
        errors.append(error)
        raise


def _schema(dataset: Dataset) -> pa.Schema:
    numbers = pa.list_(pa.float32())
    fields = [
        pa.field("uuid", pa.string()),
        pa.field("sha256", pa.string()),
        pa.field("episode_index", pa.int64()),
        pa.field("task", pa.string()),
        pa.field("success", pa.bool_()),
        pa.field("weight", pa.float64()),
        pa.field("tags", pa.list_(pa.string())),
        pa.field("split", pa.string()),
        pa.field("first", pa.int64()),
        pa.field("length", pa.int64()),
        pa.field("time", pa.list_(pa.float64())),
        pa.field(PROPRIOCEPTION, numbers),  # (T * P,), row by row
        pa.field(ACTION, numbers),  # (T * action_dim,)
        pa.field("stats", pa.string()),  # JSON, LeRobot's nested lists
    ]
    for camera in dataset.spec.camera_names:
        blob = {"lance-encoding:blob": "true"}
        fields.append(pa.field(_column(VIDEO, camera), pa.large_binary(), metadata=blob))
        fields.append(pa.field(_column(FIRST, camera), pa.int64()))
    return pa.schema(
        fields,
        metadata={
            "view": dataset.view_hash(),
            "fps": str(dataset.fps),
            "spec": json.dumps(dataset.spec.to_json()),
            "proprioception_names": json.dumps(dataset.proprioception_names),
        },
    )


def _row(dataset: Dataset, i: int) -> dict[str, object]:
    episode, lowdim = dataset.episodes[i], dataset.lowdim(i)
    row: dict[str, object] = {
        "uuid": episode.uuid,
        "sha256": episode.sha256,
        "episode_index": episode.index,
        "task": episode.task,
        "success": episode.success,
        "weight": episode.weight,
        "tags": list(episode.tags),
        "split": episode.split,
        "first": episode.first,
        "length": episode.length,
        "time": lowdim.time,
        PROPRIOCEPTION: lowdim.proprioception.reshape(-1),
        ACTION: lowdim.actions.reshape(-1),
        "stats": json.dumps(
            {
                key: to_lerobot(FeatureStats.of(values), is_image=False)
                for key, values in (
                    (PROPRIOCEPTION, lowdim.proprioception),
                    (ACTION, lowdim.actions),
                )
            }
        ),
    }
    for camera, part in dataset.videos(i).items():
        try:
            video, first = cut_video(part, episode.length)
        except (OSError, VideoError) as error:
            raise DatasetError(
                f"episode {episode.index}, camera {camera}: {one_line(error)}; copy it again"
            ) from error
        row |= {_column(VIDEO, camera): video, _column(FIRST, camera): first}
    return row


def _column(prefix: str, camera: str) -> str:
    return prefix + camera.replace(".", "_")  # Lance takes a dot for a field within a field


def cut_video(part: VideoPart, length: int) -> tuple[bytes, int]:
    """Returns an mp4 with the frames of one episode, and which of its frames is the first.

    Frames are copied as they are encoded. They must begin with a key frame, so a few of before
    may come along; a file that holds nothing else is taken whole.
    """
    import av
    import av.error

    try:
        with av.open(str(part.path)) as source:
            video = source.streams.video[0]
            rate, base = video.average_rate, video.time_base
            if rate is None or base is None:
                raise VideoError(f"{part.path} does not say its frame rate; write it again")
            if part.first == 0 and video.frames == length:
                return part.path.read_bytes(), 0
            source.seek(int(max(0, (part.first - 0.5) / rate / base)), stream=video)
            packets: list[av.Packet[av.VideoStream]] = []
            numbers: list[int] = []
            for packet in source.demux(video):
                if packet.pts is None or packet.dts is None:
                    continue
                number = round(packet.pts * base * rate)
                # Key frames before the first wanted one take the place of those before them.
                if packet.is_keyframe and number <= part.first:
                    packets.clear()
                    numbers.clear()
                elif packet.is_keyframe and number >= part.first + length:
                    break
                packets.append(packet)
                numbers.append(number)
            buffer = io.BytesIO()
            with av.open(buffer, "w", format="mp4") as target:
                stream = target.add_stream_from_template(video)
                begin = min(packet.pts or 0 for packet in packets)
                for packet in packets:
                    packet.stream = stream
                    packet.pts, packet.dts = (packet.pts or 0) - begin, (packet.dts or 0) - begin
                    target.mux(packet)
    except (av.error.FFmpegError, IndexError, ValueError) as error:
        raise VideoError(f"{part.path} breaks: {one_line(error)}; copy it again") from error
    return buffer.getvalue(), part.first - min(numbers)
