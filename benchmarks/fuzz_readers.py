"""The readers that `fuzz.py` tries, each with whole files to begin with and ways to spoil them."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import fuzz_mutations as spoil
import numpy as np

from demoloop.datasets import DatasetError, DatasetWriter, Episode, open_dataset
from demoloop.datasets import lerobot_layout as layout
from demoloop.datasets.cache_store import CacheStore, Segment
from demoloop.datasets.camera_stream import whole_frames
from demoloop.datasets.check import find_defects
from demoloop.datasets.edits import edit_episodes, undo_edit
from demoloop.datasets.episode import check_episode
from demoloop.datasets.framing import LogWriter, read_log
from demoloop.datasets.importers import IMPORTERS, ImportOptions
from demoloop.datasets.importers.found import Item
from demoloop.datasets.journal import read_journal
from demoloop.datasets.lerobot_info import read_info
from demoloop.datasets.lines import append_line, read_lines
from demoloop.datasets.recorder import stage_episode
from demoloop.datasets.staging import salvage
from demoloop.datasets.step_log import read_steps
from demoloop.datasets.view import merge
from demoloop.robot import CameraSpec, DemoloopError, JointSpec, RobotSpec
from demoloop.robot.frame_reader import FrameReader
from demoloop.robot.video import check_video, read_frames

SPEC = RobotSpec(
    "fuzz",
    (JointSpec("one", -2.0, 2.0, 3.0, 10.0), JointSpec("two", 0.0, 1.0, 3.0, 10.0, "opening")),
    (CameraSpec("front", 32, 48), CameraSpec("wrist", 32, 48)),
    5.0,
)
STEPS = 7
DATA = Path("data/chunk-000/file-001.parquet")
INDEX = Path("meta/episodes/chunk-000/file-000.parquet")
VIDEO = Path("videos/observation.images.front/chunk-000/file-001.mp4")
TESTS = Path(__file__).parents[1] / "tests" / "datasets"


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


def _episode(seed: int) -> Episode:
    rng = np.random.default_rng(seed)
    time = 100.0 + np.arange(STEPS) / 5
    return Episode(
        task=f"task {seed}",
        time=time,
        proprioception=rng.normal(size=(STEPS, 4)).astype(np.float32),
        actions=rng.normal(size=(STEPS, 2)).astype(np.float32),
        images={c: rng.integers(0, 255, (STEPS, 32, 48, 3), np.uint8) for c in SPEC.camera_names},
        image_times=dict.fromkeys(SPEC.camera_names, time),
        success=True,
        seed=seed,
        events=((2, "look"),),
    )


def _dataset(folder: Path) -> None:
    with DatasetWriter(folder / "d", SPEC) as writer:
        for seed in range(3):
            writer.add(_episode(seed))


def _edited(folder: Path) -> None:
    _dataset(folder)
    uuids = [episode.uuid for episode in open_dataset(folder / "d").episodes]
    edit_episodes(folder / "d", "trim", {uuids[0]: (1, 5), uuids[1]: (0, 4)}, author="a")
    edit_episodes(folder / "d", "relabel", {uuids[2]: "push"}, author="a")
    edit_episodes(folder / "d", "success", {uuids[2]: None, uuids[0]: True}, author="a")
    edit_episodes(folder / "d", "weigh", {uuids[2]: 2.5}, author="a")
    edit_episodes(folder / "d", "tag", {uuids[2]: "odd"}, author="a")
    undo_edit(folder / "d", author="a")


def _merged(folder: Path) -> None:
    _dataset(folder)
    merge([folder / "d"], folder / "merged")


def _left_open(folder: Path) -> None:
    """A dataset, and in it an episode of seven steps that a kill has left open."""
    _dataset(folder)
    with DatasetWriter(folder / "d", SPEC):
        stage_episode(folder / "d", _episode(9))
    (left,) = (folder / "d" / layout.OPEN).iterdir()
    left.rename(left.with_name("left"))
    line = read_lines(folder / "d" / layout.JOURNAL)[-1]
    entry = {**json.loads(line), "index": 3, "uuid": "9" * 32}
    (folder / "d" / layout.OPEN / "left" / "commit.json").write_text(json.dumps(entry))


def _log(folder: Path) -> None:
    log = LogWriter(folder / "a.log")
    log.open()
    for number in range(20):
        log.append(bytes([number]) * number * 7)
    log.close()


def _lines(folder: Path) -> None:
    for number in range(20):
        append_line(folder / "a.jsonl", json.dumps({"number": number, "text": "ä" * number}))


def _store(folder: Path) -> None:
    store = CacheStore(folder / "store", {"front": 12, "numbers": 8})
    with store.locked():
        rows = store.allot([5, 6])
        parts = [Segment("a", 0, 5), Segment("b", 1, 6)]
        store.commit(list(zip(parts, rows, strict=True)))
        store.use("view", parts)


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
    each([*(partial(dataset.lowdim, i) for i in numbers),
          *(partial(dataset.episode, i) for i in numbers)])  # fmt: skip


def _open(folder: Path) -> None:
    open_dataset(folder / "d").view_hash()


def _read_video(folder: Path) -> None:
    path = folder / "d" / VIDEO

    def single() -> None:
        with FrameReader(path) as reader:
            for index in (3, 0, STEPS - 1):
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
    with DatasetWriter(folder / "d", SPEC):
        pass
    if read_journal(folder / "d")[: len(before)] != before:
        raise AssertionError("a committed episode was lost")
    with suppress(DatasetError):  # a spoilt video is no reason to refuse all
        open_dataset(folder / "d")


def _checked(folder: Path) -> None:
    _dataset(folder)
    find_defects(open_dataset(folder / "d"))
    (found,) = (folder / "d/.cache").glob("check-*.json")
    stamp = json.loads(found.read_text())["stamp"]
    defect = {"episode": 1, "uuid": "a", "kind": "jump", "first_step": 2, "last_step": 3,
              "joint_or_camera": "one", "sentence": "jumps"}  # fmt: skip
    (folder / "check.json").write_text(json.dumps({"stamp": stamp, "defects": [defect] * 2}))


def _read_checked(folder: Path) -> None:
    from demoloop.datasets.viewer.checking import read_defects

    read_defects(folder / "check.json")


def _bodies(folder: Path) -> None:
    _dataset(folder)
    uuid = open_dataset(folder / "d").episodes[0].uuid
    bodies = [{"op": "trim", "uuid": uuid, "value": [1, 3]}, {"op": "tag", "uuid": uuid,
              "value": "x"}, {"op": "drop", "uuid": uuid}, {"id": "12345678"}]  # fmt: skip
    (folder / "body.json").write_text("\n".join(map(json.dumps, bodies)))


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


def _tests(name: str) -> ModuleType:
    """A file of tests that knows how to write the recordings of others."""
    spec = importlib.util.spec_from_file_location(name, TESTS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _foreign(name: str, folder: Path) -> None:
    _tests("test_import_fuzz").SOURCES[name].write(folder)


def _import(kind: str, name: str, folder: Path) -> None:
    found = IMPORTERS[kind].find(folder / name, ImportOptions())

    def read(item: Item) -> None:
        try:
            check_episode(found.spec, item.read())
        except DatasetError as error:  # the report of an import has a name beside each reason
            raise DatasetError(f"{folder / name}, {item.name}: {error}") from error

    each(partial(read, item) for item in found.items)


def _v21(folder: Path) -> None:
    _tests("v21_files").write_v21(folder / "d")


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
    "log": Reader(8, _log, {"a.log": _RECORDS}, lambda f: [0 for _ in read_log(f / "a.log")]
                  and None),
    "lines": Reader(8, _lines, {"a.jsonl": _CHECKED}, lambda f: read_lines(f / "a.jsonl") and None),
    "journal": Reader(8, _dataset, {"d/demoloop/journal.jsonl": _CHECKED},
                      lambda f: read_journal(f / "d") and None),
    "steps": Reader(8, _left_open, {_LEFT + "steps.log": _RECORDS},
                    lambda f: read_steps(f / _LEFT) and None),
    "camera": Reader(8, _left_open, {_LEFT + "front.frames": _RECORDS, _LEFT + "front.mp4": _ANY},
                     _read_camera),
    "salvage": Reader(3, _left_open, {
        _LEFT + "front.frames": _RECORDS, _LEFT + "front.mp4": _BOXES, _LEFT + "wrist.mp4": _ANY,
        _LEFT + "steps.log": _RECORDS}, _salvage, writes=True),
    "writer": Reader(1, _left_open, {
        _LEFT + "commit.json": _JSON, _LEFT + "steps.log": _RECORDS, _LEFT + "wrist.mp4": _ANY,
        "d/demoloop/journal.jsonl": _CHECKED, "d/meta/info.json": _JSON, f"d/{INDEX}": _COLUMNS,
        }, _record_on, writes=True),
    "info.json": Reader(12, _dataset, {"d/meta/info.json": _JSON},
                        lambda f: read_info(f / "d") and None),
    "dataset": Reader(10, _dataset, {
        "d/meta/info.json": _JSON, f"d/{INDEX}": _COLUMNS, f"d/{DATA}": _COLUMNS,
        f"d/{VIDEO}": _BOXES}, partial(_read_dataset, "d")),
    "v2.1": Reader(5, _v21, {
        "d/meta/info.json": _JSON, "d/meta/episodes.jsonl": _LINES, _PARQUET_21: _COLUMNS,
        _VIDEO_21: _BOXES}, partial(_read_dataset, "d")),
    "video": Reader(6, _dataset, {f"d/{VIDEO}": _BOXES}, _read_video),
    "edits": Reader(6, _edited, {"d/demoloop/edits.jsonl": _CHECKED}, _open),
    "collection": Reader(4, _merged, {"merged/demoloop/collection.json": _JSON},
                         partial(_read_dataset, "merged")),
    "cache": Reader(4, _store, {"store/index.jsonl": _CHECKED, "store/views/view.json": _JSON,
                                "store/front": _ANY}, _read_store, writes=True),
    "check.json": Reader(6, _checked, {"check.json": _JSON}, _read_checked),
    "viewer": Reader(2, _bodies, {"body.json": _LINES}, _read_bodies, writes=True),
    "import v2.1": Reader(2, partial(_foreign, "lerobot v2.1"), {
        "d/meta/info.json": _JSON, "d/meta/episodes.jsonl": _LINES, _PARQUET_21: _COLUMNS,
        _VIDEO_21: _BOXES}, partial(_import, "lerobot", "d")),
    "import pictures": Reader(2, partial(_foreign, "lerobot v2.1 pictures"), {
        "d/meta/info.json": _JSON, _PARQUET_21: _COLUMNS}, partial(_import, "lerobot", "d")),
    "import robomimic": Reader(1.5, partial(_foreign, "robomimic"), {"lift.hdf5": _ANY},
                               partial(_import, "robomimic", "lift.hdf5")),
    "import act": Reader(1.5, partial(_foreign, "act"), {
        "act/episode_1.hdf5": _ANY, "act/episode_2.hdf5": _ANY}, partial(_import, "act", "act")),
    "import mcap": Reader(2, partial(_foreign, "mcap ros2"), {"a.mcap": _ANY},
                          partial(_import, "mcap", "a.mcap")),
    "import mcap json": Reader(2, partial(_foreign, "mcap json"), {"a.mcap": _ANY},
                               partial(_import, "mcap", "a.mcap")),
}  # fmt: skip


def fill(name: str, folder: Path) -> None:
    """Writes what a reader begins with."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    READERS[name].write(folder)
