"""Finds the files of every episode of a LeRobot dataset, v3.0 or v2.1, and says which lack."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from demoloop.datasets import lerobot_layout as layout
from demoloop.datasets.errors import DatasetError, one_line
from demoloop.datasets.footers import count_rows, footer_digest
from demoloop.datasets.lerobot_info import Info
from demoloop.robot.video import VideoError, check_video, index_digest

MAX_EPISODES = 10**9  # a higher number is damage; it becomes part of a file's name


@dataclass(frozen=True)
class EpisodeInfo:
    """What is known of an episode without opening its files."""

    index: int  # number in the dataset; stays the same when other episodes are absent
    length: int  # steps that are kept
    task: str
    success: bool | None  # None: nobody judged
    seed: int | None  # of the simulation
    uuid: str = ""  # 32 hex digits, the same wherever the episode is copied to
    sha256: str = ""  # over data and videos; empty in datasets of others
    recorded_length: int = 0  # steps on disk
    first: int = 0  # of the recorded steps, the first that is kept
    recovered: bool = False  # what a kill left of a recording
    drops: Mapping[str, int] = field(default_factory=dict)  # camera -> pictures lost in recording
    weight: float = 1.0  # how often it is sampled, against 1 for the others; 0 never
    tags: tuple[str, ...] = ()
    split: str = ""  # train, val, ...; empty: in none


@dataclass(frozen=True)
class VideoPart:
    """The frames of one episode inside a video file."""

    path: Path
    first: int  # frame number in the file


@dataclass(frozen=True)
class EpisodeFiles:
    """An episode and where it is."""

    info: EpisodeInfo
    data: Path
    row: int  # the `episode_index` of its rows in the data file
    videos: Mapping[str, VideoPart]  # camera -> part, from the first recorded frame


def find_episodes(root: Path, info: Info) -> tuple[list[EpisodeFiles], list[str]]:
    """Returns the episodes whose files are whole, and a sentence for each that is not.

    Neither rows nor frames are read: the ends of the data files and the boxes of the videos tell
    whether a file was cut short, not whether what is inside can be used.
    """
    read = _episodes_v3 if info.version.startswith("v3.") else _episodes_v21
    episodes = list(read(root, info))
    sharing = Counter(files.data for files in episodes)
    ends = _Ends(root)
    present, missing = [], []
    for files in episodes:
        faults = [ends.data_fault(files, is_shared=sharing[files.data] > 1)]
        faults += [ends.video_fault(part.path) for part in files.videos.values()]
        if any(faults):
            missing.append(
                f"episode {files.info.index} is left out: {'; '.join(filter(None, faults))}"
            )
        elif files.info.uuid:
            present.append(files)
        else:
            present.append(replace(files, info=replace(files.info, uuid=ends.uuid(files))))
    return present, missing


class _Ends:
    """Looks at every file once, however many episodes share it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._rows = cache(count_rows)
        self._footer_digest = cache(footer_digest)
        self._index_digest = cache(index_digest)
        self.video_fault = cache(self._video_fault)
        self._file_fault = cache(self._data_file_fault)

    def data_fault(self, files: EpisodeFiles, *, is_shared: bool) -> str:
        """Says what is wrong with a data file, '' when nothing is to be seen."""
        if fault := self._file_fault(files.data):
            return fault
        found, expected = self._rows(files.data), files.info.recorded_length
        if expected < 1:
            return f"the index says it has {expected} steps"
        if found < expected and not is_shared:
            return (
                f"{files.data.name} holds {found} rows of episode {files.info.index}, the index "
                f"says {expected}"
            )
        return ""

    def uuid(self, files: EpisodeFiles) -> str:
        """Returns a name for an episode that was given none, the same in every copy.

        Made from the footers of its data (size and range of every column), from the frame
        indices of its videos (size of every frame) and from its place in both.
        """
        digest = hashlib.sha256(f"{files.row} {files.info.recorded_length}".encode())
        digest.update(self._footer_digest(files.data).encode())
        for camera, part in sorted(files.videos.items()):
            digest.update(f"{camera} {part.first} {self._index_digest(part.path)}".encode())
        return digest.hexdigest()[:32]

    def _data_file_fault(self, path: Path) -> str:
        try:
            self._rows(path)
        except DatasetError as error:
            return str(error).replace(f"{self._root}/", "")
        return ""

    def _video_fault(self, path: Path) -> str:
        if not os.path.exists(path):  # a Path raises where a name is too long to be one
            return f"{path.relative_to(self._root)} is missing"
        try:
            check_video(path)
        except VideoError as error:
            return str(error).replace(f"{self._root}/", "")
        return ""


def _episodes_v3(root: Path, info: Info) -> Iterator[EpisodeFiles]:
    paths = sorted((root / layout.EPISODES).rglob("*.parquet"))
    if not paths:
        raise DatasetError(
            f"{root}: no index of episodes under {layout.EPISODES}; the recording was not "
            "finished or the copy is not whole"
        )
    rows: list[dict[str, object]] = []
    for path in paths:
        try:
            names = pq.read_schema(path).names
            wanted = [name for name in names if not name.startswith("stats/")]
            rows += pq.read_table(path, columns=wanted).to_pylist()
        except (OSError, ValueError, pa.ArrowException) as error:
            raise DatasetError(
                f"{path} is cut short or no parquet file ({one_line(error)}); copy it again"
            ) from error
    # Rows beyond the count were being committed when the writer was killed.
    for row in rows[: info.total_episodes]:
        try:
            yield _episode_v3(root, info, row)
        except KeyError as error:
            raise DatasetError(
                f"{root}: the index of episodes lacks the column {error}; copy it again"
            ) from error
        except (ValueError, OverflowError) as error:
            raise DatasetError(f"{root}: the index of episodes is damaged: {error}") from error


def _episode_v3(root: Path, info: Info, row: Mapping[str, object]) -> EpisodeFiles:
    videos = {}
    for key in info.camera_keys:
        path = info.video_path.format(
            video_key=key,
            chunk_index=_int(row[f"videos/{key}/chunk_index"]),
            file_index=_int(row[f"videos/{key}/file_index"]),
        )
        first = round(float(str(row[f"videos/{key}/from_timestamp"])) * info.fps)
        if first < 0:
            raise ValueError(f"a video begins at frame {first}")
        videos[layout.camera_name(key)] = VideoPart(root / path, first)
    data = info.data_path.format(
        chunk_index=_int(row["data/chunk_index"]), file_index=_int(row["data/file_index"])
    )
    success, seed = row.get(layout.SUCCESS), row.get(layout.SEED)
    index, length = _int(row["episode_index"]), _int(row["length"])
    episode = EpisodeInfo(
        index=index,
        length=length,
        recorded_length=length,
        task=_first(row["tasks"]),
        success=None if success is None else bool(success),
        seed=None if seed is None else _int(seed),
        uuid=str(row.get(layout.UUID) or ""),
        sha256=str(row.get(layout.SHA256) or ""),
        recovered=bool(row.get(layout.RECOVERED)),
        drops=_drops(row.get(layout.DROPS)),
    )
    return EpisodeFiles(episode, root / data, index, videos)


def _episodes_v21(root: Path, info: Info) -> Iterator[EpisodeFiles]:
    path = root / "meta" / "episodes.jsonl"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read ({error}); copy the dataset again") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            index, length, task = int(row["episode_index"]), int(row["length"]), row["tasks"]
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise DatasetError(
                f"{path}, line {number} is damaged ({one_line(error)}); copy the file again"
            ) from error
        if not 0 <= index < MAX_EPISODES:
            raise DatasetError(
                f"{path}, line {number} is damaged (episode {str(index)[:20]}); copy it again"
            )
        chunk = index // info.chunks_size
        videos = {
            layout.camera_name(key): VideoPart(
                root
                / info.video_path.format(episode_chunk=chunk, video_key=key, episode_index=index),
                0,
            )
            for key in info.camera_keys
        }
        data = info.data_path.format(episode_chunk=chunk, episode_index=index)
        episode = EpisodeInfo(
            index, length, _first(task), success=None, seed=None, recorded_length=length
        )
        yield EpisodeFiles(episode, root / data, index, videos)


def _drops(value: object) -> dict[str, int]:
    """Reads {camera: pictures} from JSON; nothing where others wrote no such column."""
    counts = json.loads(str(value)) if value else {}
    if not isinstance(counts, dict):
        raise ValueError(f"{layout.DROPS} is {value!r}, not an object")
    return {str(camera): int(count) for camera, count in counts.items()}


def _int(value: object) -> int:
    return int(str(value))


def _first(tasks: object) -> str:
    return str(tasks[0]) if isinstance(tasks, list) and tasks else ""
