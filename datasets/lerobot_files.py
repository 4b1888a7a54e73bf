"""Finds the files of every episode of a LeRobot dataset, v3.0 or v2.1, and says which lack."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from demoloop.datasets import lerobot_layout as layout
from demoloop.datasets.errors import DatasetError, one_line
from demoloop.datasets.lerobot_info import Info
from demoloop.robot.video import VideoError, check_video


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
    videos: Mapping[str, VideoPart]  # camera -> part


def find_episodes(root: Path, info: Info) -> tuple[list[EpisodeFiles], list[str]]:
    """Returns the episodes whose files are whole, and a sentence for each that is not."""
    read = _episodes_v3 if info.version.startswith("v3.") else _episodes_v21
    present, missing = [], []
    faults: dict[Path, str] = {}
    for files in read(root, info):
        paths = [files.data, *(part.path for part in files.videos.values())]
        for path in paths:
            if path not in faults:
                faults[path] = _fault(root, path)
        broken = [faults[path] for path in paths if faults[path]]
        if broken:
            missing.append(f"episode {files.info.index} is left out: {'; '.join(broken)}")
        else:
            present.append(files)
    return present, missing


def _fault(root: Path, path: Path) -> str:
    """Says what is wrong with a file, '' when nothing is."""
    name = path.relative_to(root)
    if not path.exists():
        return f"{name} is missing"
    try:
        if path.suffix == ".mp4":
            check_video(path)
        else:
            pq.read_schema(path)
    except VideoError as error:
        return str(error).replace(f"{root}/", "")
    except (OSError, ValueError, pa.ArrowException):
        return f"{name} is cut short or no parquet file"
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
        except ValueError as error:
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
        videos[layout.camera_name(key)] = VideoPart(root / path, first)
    data = info.data_path.format(
        chunk_index=_int(row["data/chunk_index"]), file_index=_int(row["data/file_index"])
    )
    success, seed = row.get(layout.SUCCESS), row.get(layout.SEED)
    return EpisodeFiles(
        EpisodeInfo(
            index=_int(row["episode_index"]),
            length=_int(row["length"]),
            task=_first(row["tasks"]),
            success=None if success is None else bool(success),
            seed=None if seed is None else _int(seed),
        ),
        root / data,
        videos,
    )


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
        except (ValueError, KeyError, TypeError) as error:
            raise DatasetError(
                f"{path}, line {number} is damaged ({error!r}); copy the file again"
            ) from error
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
        episode = EpisodeInfo(index, length, _first(task), success=None, seed=None)
        yield EpisodeFiles(episode, root / data, videos)


def _int(value: object) -> int:
    return int(str(value))


def _first(tasks: object) -> str:
    return str(tasks[0]) if isinstance(tasks, list) and tasks else ""
