"""What the meta folder of anybody's LeRobot dataset says, v2.0 to v3.x, taken as far as it goes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path, PurePosixPath
from typing import Any

from demoloop.datasets import lerobot_layout as layout
from demoloop.datasets.errors import DatasetError
from demoloop.datasets.importers.found import MAX_EPISODES, MAX_WIDTH, Skipped, read_rate
from demoloop.datasets.importers.parquet import read_rows

MAX_TEXT = 64 << 20  # bytes of info.json
DATA_V2 = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
VIDEO_V2 = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"


@dataclass(frozen=True)
class Feature:
    """One column, or one camera."""

    dtype: str
    shape: tuple[int, ...]
    names: tuple[str, ...]
    is_depth: bool

    @property
    def width(self) -> int:
        """Numbers in a step."""
        width = 1
        for size in self.shape:
            width *= size
        return width


@dataclass(frozen=True)
class Row:
    """One episode as the index lists it."""

    index: int
    length: int | None  # steps; None: the index does not say
    task: str
    data: Path
    videos: Mapping[str, tuple[Path, float]]  # key -> file, second at which the episode begins


@dataclass(frozen=True)
class Meta:
    """What info.json says of a dataset."""

    root: Path
    version: str
    fps: float | None
    robot: str
    chunks_size: int
    templates: tuple[str, str]  # of data and videos
    features: Mapping[str, Feature]
    is_ours: bool
    notes: list[str] = field(default_factory=list)

    @property
    def is_v3(self) -> bool:
        """Whether a file may hold many episodes."""
        return self.version.startswith("v3.")

    @property
    def camera_keys(self) -> tuple[str, ...]:
        """Features that are pictures, as video or in the data files; no depth."""
        return tuple(
            key
            for key, feature in self.features.items()
            if feature.dtype in ("video", "image") and not feature.is_depth
        )


def read_meta(root: Path) -> Meta:
    """Reads meta/info.json; raises DatasetError when the rest cannot be found without it."""
    path = root / layout.INFO
    value = _json_file(path)
    version = str(value.get("codebase_version", ""))
    if not re.match(r"v(2\.[01]|3\.)", version):
        raise DatasetError(
            f"{root} has layout {version[:20] or 'of no version'}; v2.0, v2.1 and v3.x can be "
            "imported, convert it by lerobot first"
        )
    notes: list[str] = []
    features = {}
    stored = value.get("features")
    if not isinstance(stored, dict):
        raise DatasetError(f"{path} names no features; copy the dataset again")
    for key, entry in stored.items():
        try:
            if not key.isprintable():
                raise ValueError("its name is no line of text")
            features[key] = _feature(entry)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            notes.append(f"feature {key!r} is left out: info.json describes it badly ({error!r})")
    is_v3 = version.startswith("v3.")
    defaults = (layout.DATA_PATH, layout.VIDEO_PATH) if is_v3 else (DATA_V2, VIDEO_V2)
    templates = []
    for key, default in zip(("data_path", "video_path"), defaults, strict=True):
        template = str(value.get(key) or default)
        try:
            # Leads out of the dataset or is no template: seen once, before anything is opened.
            fill(template, _places(0, 0, "key", 1))
        except KeyError as error:
            notes.append(f"{key} {template[:100]!r} names {error}; the usual one is used")
            template = default
        except DatasetError as error:
            raise DatasetError(f"{path}: {error}") from error
        templates.append(template)
    chunks = value.get("chunks_size")
    return Meta(
        root=root,
        version=version,
        fps=read_rate(value.get("fps")),
        robot=str(value.get("robot_type") or "unknown")[:100],
        chunks_size=chunks if isinstance(chunks, int) and chunks > 0 else layout.FILES_PER_CHUNK,
        templates=(templates[0], templates[1]),
        features=features,
        is_ours=isinstance(value.get("demoloop"), dict),
        notes=notes,
    )


def read_episodes(meta: Meta) -> Iterator[Row | Skipped]:
    """Yields the episodes of the index in its order, or why one cannot be found."""
    rows = _rows_v3(meta) if meta.is_v3 else _rows_v2(meta)
    for number, row in enumerate(rows):
        if number >= MAX_EPISODES:
            return
        try:
            yield _row(meta, row)
        # An OSError: a name longer than the disk allows.
        except (KeyError, TypeError, ValueError, OverflowError, OSError) as error:
            name = f"episode {row.get('episode_index', number)!r}"[:40]
            yield Skipped(name, f"the index of episodes is damaged here ({error!r})")


def read_tasks(meta: Meta) -> Mapping[int, str]:
    """Returns task_index -> sentence; nothing when the list is missing or damaged."""
    try:
        if not meta.is_v3:
            rows = _json_lines(meta.root / "meta" / "tasks.jsonl")
            return {int(row["task_index"]): str(row["task"]) for row in rows}
        # The sentences are the index of a pandas frame, whose name depends on who wrote it.
        tasks = {}
        for row in read_rows(meta.root / layout.TASKS):
            texts = [value for value in row.values() if isinstance(value, str)]
            tasks[int(row["task_index"])] = texts[0] if texts else ""
        return tasks
    except (DatasetError, KeyError, TypeError, ValueError, OverflowError):
        meta.notes.append("the list of tasks is missing or damaged")
        return {}


def fill(template: str, values: Mapping[str, int | str]) -> str:
    """Fills {name} and {name:03d}; nothing else that str.format knows, since others wrote it.

    Raises:
        KeyError: A name is not among the values, or more is asked for than its digits.
        DatasetError: The path leads out of the dataset.
    """

    def put(match: re.Match[str]) -> str:
        value = values[match[1]]
        return f"{value:0{int(match[2] or 0)}d}" if isinstance(value, int) else value

    path = re.sub(r"\{(\w+)(?::0?(\d)d)?\}", put, template)
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts or "\0" in path:
        raise DatasetError(f"the template {template[:100]!r} leads out of the dataset")
    if "{" in path or "}" in path:
        raise KeyError(path[path.find("{") :][:40])
    return path


def _row(meta: Meta, row: Mapping[str, Any]) -> Row:
    index = _count(row["episode_index"])
    tasks = row.get("tasks")
    task = str(tasks[0]) if isinstance(tasks, list) and tasks else ""
    length = None if row.get("length") is None else _count(row["length"])
    videos: dict[str, tuple[Path, float]] = {}
    keys = [key for key in meta.camera_keys if meta.features[key].dtype == "video"]
    if meta.is_v3:
        places = _places(_count(row["data/chunk_index"]), _count(row["data/file_index"]), "", 0)
        data = _find(meta, 0, places)
        for key in keys:
            chunk, file = (_count(row[f"videos/{key}/{n}_index"]) for n in ("chunk", "file"))
            begin = float(row[f"videos/{key}/from_timestamp"])
            if not 0 <= begin < 1e9:
                raise ValueError(f"{key} begins at {begin} s")
            videos[key] = (_find(meta, 1, _places(chunk, file, key, index)), begin)
    else:
        chunk = index // meta.chunks_size
        data = _find(meta, 0, _places(chunk, index, "", index))
        videos = {key: (_find(meta, 1, _places(chunk, index, key, index)), 0.0) for key in keys}
    return Row(index, length, task, data, videos)


def _places(chunk: int, file: int, key: str, episode: int) -> dict[str, int | str]:
    return {
        **{"chunk_index": chunk, "file_index": file, "video_key": key},
        **{"episode_chunk": chunk, "episode_index": episode},
    }


def _find(meta: Meta, which: int, places: Mapping[str, int | str]) -> Path:
    """Returns where a file is by the template, or else where LeRobot usually has it."""
    own = meta.root / fill(meta.templates[which], places)
    usual = (layout.DATA_PATH, layout.VIDEO_PATH) if meta.is_v3 else (DATA_V2, VIDEO_V2)
    other = meta.root / fill(usual[which], places)
    return other if other.exists() and not own.exists() else own


def _rows_v3(meta: Meta) -> Iterator[Mapping[str, Any]]:
    paths = sorted((meta.root / layout.EPISODES).glob("*/*.parquet"))
    if not paths:
        raise DatasetError(
            f"{meta.root} has no index of episodes under {layout.EPISODES}; the recording was not "
            "finished or the copy is not whole"
        )
    for path in paths:
        try:
            yield from read_rows(path, without="stats/")
        except DatasetError as error:
            meta.notes.append(f"some episodes may be missing: {error}")


def _rows_v2(meta: Meta) -> Iterator[Mapping[str, Any]]:
    path = meta.root / "meta" / "episodes.jsonl"
    if path.exists():
        yield from _json_lines(path)
        return
    meta.notes.append("meta/episodes.jsonl is missing; the episodes are those whose data is there")
    for file in sorted((meta.root / "data").rglob("episode_*.parquet")):
        if number := re.fullmatch(r"episode_(\d{1,9})", file.stem):
            yield {"episode_index": int(number[1])}


def _json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yields the objects of a file, and an empty one for a line that holds none."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            while line := file.readline(MAX_TEXT):
                if not line.strip():
                    continue
                try:
                    value = json.loads(line)
                except (ValueError, RecursionError):
                    value = None
                yield value if isinstance(value, dict) else {}
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror}); copy it again") from error


def _json_file(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_TEXT:
            raise DatasetError(f"{path} has {path.stat().st_size} bytes; that is no info.json")
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DatasetError(
            f"{path} cannot be read ({error.strerror}); the copy of the dataset is not whole"
        ) from error
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path} is no JSON; it is cut short or damaged") from error
    if not isinstance(value, dict):
        raise DatasetError(f"{path} holds no object; it is damaged")
    return value


def _feature(entry: Mapping[str, Any]) -> Feature:
    shape = tuple(int(size) for size in entry["shape"])
    details = entry.get("info") or entry.get("video_info") or {}
    is_depth = isinstance(details, dict) and bool(
        details.get("is_depth_map") or details.get("video.is_depth_map")
    )
    if any(size < 0 for size in shape):
        raise ValueError(f"shape {shape}")
    feature = Feature(str(entry["dtype"]), shape, _flat(entry.get("names")), is_depth)
    if feature.dtype not in ("video", "image") and feature.width > MAX_WIDTH:
        raise ValueError(f"{feature.width} numbers a step")
    return feature


def _flat(names: object, depth: int = 4) -> tuple[str, ...]:
    """Flattens names: a list, a list in a list, {"motors": [...]}, or {name: position}."""
    if isinstance(names, dict):
        if names and all(isinstance(place, int) for place in names.values()):
            return tuple(str(name) for name, _ in sorted(names.items(), key=itemgetter(1)))
        names = list(names.values())
    if isinstance(names, list):
        return tuple(name for part in names for name in _flat(part, depth - 1)) if depth else ()
    return () if names is None else (str(names)[:100],)


def _count(value: object) -> int:
    """Returns a number that can be in the name of a file."""
    number = int(str(value))
    if not 0 <= number < 10**9:
        raise ValueError(f"{number} is no index")
    return number
