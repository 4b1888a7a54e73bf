"""The whole files that `fuzz.py` begins with; each function fills an empty folder."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np

from demoloop.datasets import DatasetWriter, Episode, open_dataset
from demoloop.datasets import lerobot_layout as layout
from demoloop.datasets.cache_store import CacheStore, Segment
from demoloop.datasets.check import find_defects
from demoloop.datasets.edits import edit_episodes, undo_edit
from demoloop.datasets.framing import LogWriter
from demoloop.datasets.lines import append_line, read_lines
from demoloop.datasets.recorder import stage_episode
from demoloop.datasets.view import merge
from demoloop.robot import CameraSpec, JointSpec, RobotSpec

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


def dataset(folder: Path) -> None:
    """Three episodes of ours."""
    with DatasetWriter(folder / "d", SPEC) as writer:
        for seed in range(3):
            writer.add(_episode(seed))


def edited(folder: Path) -> None:
    """A dataset with six edits, one of them undone."""
    dataset(folder)
    uuids = [episode.uuid for episode in open_dataset(folder / "d").episodes]
    edit_episodes(folder / "d", "trim", {uuids[0]: (1, 5), uuids[1]: (0, 4)}, author="a")
    edit_episodes(folder / "d", "relabel", {uuids[2]: "push"}, author="a")
    edit_episodes(folder / "d", "success", {uuids[2]: None, uuids[0]: True}, author="a")
    edit_episodes(folder / "d", "weigh", {uuids[2]: 2.5}, author="a")
    edit_episodes(folder / "d", "tag", {uuids[2]: "odd"}, author="a")
    undo_edit(folder / "d", author="a")


def merged(folder: Path) -> None:
    """A dataset, and a collection that names it."""
    dataset(folder)
    merge([folder / "d"], folder / "merged")


def left_open(folder: Path) -> None:
    """A dataset, and in it an episode of seven steps that a kill has left open."""
    dataset(folder)
    with DatasetWriter(folder / "d", SPEC):
        stage_episode(folder / "d", _episode(9))
    (left,) = (folder / "d" / layout.OPEN).iterdir()
    left.rename(left.with_name("left"))
    line = read_lines(folder / "d" / layout.JOURNAL)[-1]
    entry = {**json.loads(line), "index": 3, "uuid": "9" * 32}
    (folder / "d" / layout.OPEN / "left" / "commit.json").write_text(json.dumps(entry))


def log(folder: Path) -> None:
    """A framed log."""
    log = LogWriter(folder / "a.log")
    log.open()
    for number in range(20):
        log.append(bytes([number]) * number * 7)
    log.close()


def lines(folder: Path) -> None:
    """A file of checksummed lines."""
    for number in range(20):
        append_line(folder / "a.jsonl", json.dumps({"number": number, "text": "ä" * number}))


def store(folder: Path) -> None:
    """A training cache of two episodes."""
    store = CacheStore(folder / "store", {"front": 12, "numbers": 8})
    with store.locked():
        rows = store.allot([5, 6])
        parts = [Segment("a", 0, 5), Segment("b", 1, 6)]
        store.commit(list(zip(parts, rows, strict=True)))
        store.use("view", parts)


def checked(folder: Path) -> None:
    """A dataset, and what a check of it might have remembered."""
    dataset(folder)
    find_defects(open_dataset(folder / "d"))
    (found,) = (folder / "d/.cache").glob("check-*.json")
    stamp = json.loads(found.read_text())["stamp"]
    defect = {"episode": 1, "uuid": "a", "kind": "jump", "first_step": 2, "last_step": 3,
              "joint_or_camera": "one", "sentence": "jumps"}  # fmt: skip
    (folder / "check.json").write_text(json.dumps({"stamp": stamp, "defects": [defect] * 2}))


def bodies(folder: Path) -> None:
    """A dataset, and what the viewer's page might ask for, a request a line."""
    dataset(folder)
    uuid = open_dataset(folder / "d").episodes[0].uuid
    bodies = [{"op": "trim", "uuid": uuid, "value": [1, 3]}, {"op": "tag", "uuid": uuid,
              "value": "x"}, {"op": "drop", "uuid": uuid}, {"id": "12345678"}]  # fmt: skip
    (folder / "body.json").write_text("\n".join(map(json.dumps, bodies)))


def _tests(name: str) -> ModuleType:
    """A file of tests that knows how to write the recordings of others."""
    spec = importlib.util.spec_from_file_location(name, TESTS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def foreign(name: str, folder: Path) -> None:
    """Somebody else's recording, by the name that `test_import_fuzz.py` gives it."""
    _tests("test_import_fuzz").SOURCES[name].write(folder)


def v21(folder: Path) -> None:
    """Somebody else's LeRobot v2.1 dataset."""
    _tests("v21_files").write_v21(folder / "d")
