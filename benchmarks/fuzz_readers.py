"""The readers that `fuzz.py` tries, each with whole files to begin with and ways to spoil them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import fuzz_mutations as spoil
import fuzz_whole as whole

from demoloop.datasets import DatasetError, DatasetWriter, open_dataset
from demoloop.datasets import lerobot_layout as layout
from demoloop.datasets.cache_store import CacheStore, Segment
from demoloop.datasets.camera_stream import whole_frames
from demoloop.datasets.episode import check_episode
from demoloop.datasets.framing import read_log
from demoloop.datasets.importers import IMPORTERS, ImportOptions
from demoloop.datasets.importers.found import Item
from demoloop.datasets.journal import read_journal
from demoloop.datasets.lerobot_info import read_info
from demoloop.datasets.lines import read_lines
from demoloop.datasets.staging import salvage
from demoloop.datasets.step_log import read_steps
from demoloop.robot import DemoloopError
from demoloop.robot.frame_reader import FrameReader
from demoloop.robot.video import check_video, read_frames


class Reader(NamedTuple):
    """One way into the house."""

    weight: float  # its part of all mutations
    write: Callable[[Path], None]  # fills an empty folder with what is whole
    spoilt: Mapping[str, tuple[spoil.Mutation, ...]]  # file in the folder -> ways to spoil it
    read: Callable[[Path], None]  # gets that folder
    writes: bool = False  # into the folder; it is made anew after each


def each(actions: Iterable[Callable[[], object]]) -> None:
    """Does all, and then raises the first refusal: one bad episode must not hide the next."""
    first: DemoloopError | None = None
    for action in actions:
        try:
            action()
        except DemoloopError as error:
            first = first or error
    if first is not None:
        raise first


def _read_store(folder: Path) -> None:
    store = CacheStore(folder / "store", {"front": 12, "numbers": 8})
    with store.locked():
        found = store.find(Segment("a", 0, 5))
        if found is not None and (found + 5) * 12 > store.path("front").stat().st_size:
            raise AssertionError("rows are listed that are not there")
        rows = store.allot([4])
        store.commit([(Segment("c", 0, 4), rows[0])])
        store.use("other", [Segment("c", 0, 4)])


def _read_dataset(name: str, folder: Path) -> None:
    dataset = open_dataset(folder / name)
    dataset.view_hash()
    for sentence in dataset.missing:
        if "\n" in sentence:
            raise AssertionError(f"two lines: {sentence!r}")
    numbers = range(len(dataset.episodes))
    each(partial(dataset.lowdim, i) for i in numbers)
    for i in numbers:
        if dataset.episodes[i].index == 1:  # the one whose files are spoilt
            dataset.episode(i)


def _open(folder: Path) -> None:
    open_dataset(folder / "d").view_hash()


def _read_video(folder: Path) -> None:
    path = folder / "d" / whole.VIDEO

    def single() -> None:
        with FrameReader(path) as reader:
            for index in (3, 0, whole.STEPS - 1):
                reader.frame(index)

    each([
        lambda: check_video(path),
        lambda: [None for _ in islice(read_frames(path), 100)],
        lambda: [None for _ in read_frames(path, 2, 5)],
        single,
    ])  # fmt: skip


def _read_camera(folder: Path) -> None:
    try:
        for _ in whole_frames(folder / "d" / layout.OPEN / "left", "front"):
            pass
    except (OSError, ValueError) as error:  # what `salvage` expects of it
        raise DatasetError(f"front.frames: {error}") from error


def _salvage(folder: Path) -> None:
    if salvage(folder / "d" / layout.OPEN / "left") is None:
        raise DatasetError(f"{folder}/d: too short")


def _record_on(folder: Path) -> None:
    before = read_journal(folder / "d")
    with DatasetWriter(folder / "d", whole.SPEC):
        pass
    if read_journal(folder / "d")[: len(before)] != before:
        raise AssertionError("a committed episode was lost")
    with suppress(DatasetError):  # a spoilt video is no reason to refuse all
        open_dataset(folder / "d")


def _read_checked(folder: Path) -> None:
    from demoloop.datasets.check.find import recall

    recall(folder / "check.json", "")


def _read_bodies(folder: Path) -> None:
    from demoloop.datasets.viewer.overlay import describe_history, write_edit, write_undo

    bodies = (folder / "body.json").read_bytes().splitlines()
    try:
        each([*(partial(write_edit, folder / "d", body) for body in bodies),
              *(partial(write_undo, folder / "d", body) for body in bodies)])  # fmt: skip
    except DatasetError as error:
        raise DatasetError(f"body.json: {error}") from error  # a request has no file to name
    finally:
        describe_history(folder / "d", {})
        open_dataset(folder / "d")


def _import(kind: str, name: str, folder: Path) -> None:
    found = IMPORTERS[kind].find(folder / name, ImportOptions())

    def read(item: Item) -> None:
        try:
            check_episode(found.spec, item.read())
        except DatasetError as error:  # the report of an import has a name beside each reason
            raise DatasetError(f"{folder / name}, {item.name}: {error}") from error

    each(partial(read, item) for item in found.items)


_ANY = (spoil.damage,)
_JSON = (spoil.json_values, spoil.json_values, spoil.json_values, spoil.damage)
_LINES = (spoil.json_lines, spoil.json_lines, spoil.json_lines, spoil.damage)
_CHECKED = (spoil.checked_lines, spoil.checked_lines, spoil.checked_lines, spoil.damage)
_RECORDS = (spoil.checked_records, spoil.checked_records, spoil.damage)
_COLUMNS = (spoil.columns, spoil.columns, spoil.damage)
_BOXES = (spoil.boxes, spoil.boxes, spoil.damage)
_LEFT = "d/demoloop/open/left/"
_PARQUET_21 = "d/data/chunk-000/episode_000001.parquet"
_VIDEO_21 = "d/videos/chunk-000/observation.images.top/episode_000001.mp4"

READERS: Mapping[str, Reader] = {
    "log": Reader(10, whole.log, {"a.log": _RECORDS}, lambda f: [0 for _ in read_log(f / "a.log")]
                  and None),
    "lines": Reader(10, whole.lines, {"a.jsonl": _CHECKED},
                    lambda f: read_lines(f / "a.jsonl") and None),
    "journal": Reader(10, whole.dataset, {"d/demoloop/journal.jsonl": _CHECKED},
                      lambda f: read_journal(f / "d") and None),
    "steps": Reader(10, whole.left_open, {_LEFT + "steps.log": _RECORDS},
                    lambda f: read_steps(f / _LEFT) and None),
    "camera": Reader(10, whole.left_open, {
        _LEFT + "front.frames": _RECORDS, _LEFT + "front.mp4": _ANY}, _read_camera),
    "salvage": Reader(3, whole.left_open, {
        _LEFT + "front.frames": _RECORDS, _LEFT + "front.mp4": _BOXES, _LEFT + "wrist.mp4": _ANY,
        _LEFT + "steps.log": _RECORDS}, _salvage, writes=True),
    "writer": Reader(1, whole.left_open, {
        _LEFT + "commit.json": _JSON, _LEFT + "steps.log": _RECORDS, _LEFT + "wrist.mp4": _ANY,
        "d/demoloop/journal.jsonl": _CHECKED, "d/meta/info.json": _JSON,
        f"d/{whole.INDEX}": _COLUMNS}, _record_on, writes=True),
    "info.json": Reader(15, whole.dataset, {"d/meta/info.json": _JSON},
                        lambda f: read_info(f / "d") and None),
    "dataset": Reader(5, whole.dataset, {
        "d/meta/info.json": _JSON, f"d/{whole.INDEX}": _COLUMNS, f"d/{whole.DATA}": _COLUMNS,
        f"d/{whole.VIDEO}": _BOXES}, partial(_read_dataset, "d")),
    "v2.1": Reader(3, whole.v21, {
        "d/meta/info.json": _JSON, "d/meta/episodes.jsonl": _LINES, _PARQUET_21: _COLUMNS,
        _VIDEO_21: _BOXES}, partial(_read_dataset, "d")),
    "video": Reader(4, whole.dataset, {f"d/{whole.VIDEO}": _BOXES}, _read_video),
    "edits": Reader(8, whole.edited, {"d/demoloop/edits.jsonl": _CHECKED}, _open),
    "collection": Reader(5, whole.merged, {"merged/demoloop/collection.json": _JSON},
                         partial(_read_dataset, "merged")),
    "cache": Reader(5, whole.store, {"store/index.jsonl": _CHECKED, "store/views/view.json": _JSON,
                                "store/front": _ANY}, _read_store, writes=True),
    "check.json": Reader(8, whole.checked, {"check.json": _JSON}, _read_checked),
    "viewer": Reader(2, whole.bodies, {"body.json": _LINES}, _read_bodies, writes=True),
    "import v2.1": Reader(1.5, partial(whole.foreign, "lerobot v2.1"), {
        "d/meta/info.json": _JSON, "d/meta/episodes.jsonl": _LINES, _PARQUET_21: _COLUMNS,
        _VIDEO_21: _BOXES}, partial(_import, "lerobot", "d")),
    "import pictures": Reader(1.5, partial(whole.foreign, "lerobot v2.1 pictures"), {
        "d/meta/info.json": _JSON, _PARQUET_21: _COLUMNS}, partial(_import, "lerobot", "d")),
    "import robomimic": Reader(1, partial(whole.foreign, "robomimic"), {"lift.hdf5": _ANY},
                               partial(_import, "robomimic", "lift.hdf5")),
    "import act": Reader(1, partial(whole.foreign, "act"), {
        "act/episode_1.hdf5": _ANY, "act/episode_2.hdf5": _ANY}, partial(_import, "act", "act")),
    "import mcap": Reader(1.5, partial(whole.foreign, "mcap ros2"), {"a.mcap": _ANY},
                          partial(_import, "mcap", "a.mcap")),
    "import mcap json": Reader(1.5, partial(whole.foreign, "mcap json"), {"a.mcap": _ANY},
                               partial(_import, "mcap", "a.mcap")),
}  # fmt: skip


def fill(name: str, folder: Path) -> None:
    """Writes what a reader begins with."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    READERS[name].write(folder)
