"""Spoilt files are read or refused in a sentence, in bounded memory, and nothing else happens.

`python benchmarks/fuzz.py` tries a hundred thousand; here are some, and what those once found.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import tempfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from demoloop.datasets import DatasetError, DatasetWriter, Episode, open_dataset
from demoloop.datasets import lerobot_layout as layout
from demoloop.datasets.cache_store import CacheStore, Segment
from demoloop.datasets.check.find import recall
from demoloop.datasets.collection import FILE as COLLECTION
from demoloop.datasets.edits import edit_episodes
from demoloop.datasets.framing import LogWriter, read_log
from demoloop.datasets.journal import read_journal
from demoloop.datasets.lerobot_info import read_info
from demoloop.datasets.lines import append_line, read_lines
from demoloop.datasets.recorder import stage_episode
from demoloop.datasets.staging import salvage
from demoloop.datasets.step_log import read_steps
from demoloop.datasets.view import merge
from demoloop.robot import RobotSpec
from demoloop.robot.frame_reader import FrameReader
from demoloop.robot.video import VideoError

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
ROWS = {"front": 12}
Make = Callable[..., Episode]


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


sys.path.insert(0, str(BENCHMARKS))  # the benchmark's files import each other by name
READERS = load("fuzz_readers").READERS
fuzz = load("fuzz")
sys.path.remove(str(BENCHMARKS))


def count(name: str) -> int:
    """Cheap readers get some hundred files, those that write or decode fewer."""
    return 150 if READERS[name].weight > 5 else 30


@pytest.fixture(scope="module")
def results() -> Mapping[str, Any]:
    with tempfile.TemporaryDirectory(dir=fuzz.memory()) as folder:
        return fuzz.run([(name, 0, count(name)) for name in READERS], Path(folder) / "work")


@pytest.mark.parametrize("name", READERS)
def test_a_spoilt_file_is_read_or_refused_in_a_sentence(
    results: Mapping[str, Any], name: str
) -> None:
    result = results[name]
    assert result.mutations == count(name)
    assert not result.failures


@pytest.fixture
def left(root: Path, spec: RobotSpec, make_episode: Make) -> Path:
    """An episode that a kill has left open."""
    with DatasetWriter(root, spec):
        stage_episode(root, make_episode(4, steps=40))
    (folder,) = (root / layout.OPEN).iterdir()
    return folder


def write_log(path: Path, *records: bytes) -> None:
    path.unlink()
    log = LogWriter(path)
    log.open()
    for record in records:
        log.append(record)
    log.close()


def rewrite(path: Path, old: str, new: str) -> None:
    """Changes a checksummed file and makes the checksums fit."""
    lines = [line.replace(old, new).encode() for line in read_lines(path)]
    path.write_bytes(b"".join(b"%08x %b\n" % (zlib.crc32(line), line) for line in lines))


def test_an_open_episode_is_kept_up_to_a_record_that_is_none(left: Path) -> None:
    path = left / "front.frames"
    records = list(read_log(path))
    write_log(path, *records[:36], records[36] + b"x", *records[37:])
    staged = salvage(left)
    assert staged is not None and len(staged.steps) == 35


@pytest.mark.parametrize("header", [b"{", b"[]", b'{"extradata": 1}', b'{"extradata": "x"}'])
def test_frames_without_their_header_are_no_episode(left: Path, header: bytes) -> None:
    path = left / "front.frames"
    records = list(read_log(path))
    write_log(path, header, *records[1:])
    assert salvage(left) is None


@pytest.mark.parametrize(
    ("key", "value"), [("seed", []), ("seed", "x"), ("spec", []), ("spec", {"name": "a"})]
)
def test_a_log_of_steps_that_says_nonsense_is_refused(left: Path, key: str, value: object) -> None:
    path = left / "steps.log"
    header, *rest = read_log(path)
    write_log(path, b"H" + json.dumps({**json.loads(header[1:]), key: value}).encode(), *rest)
    with pytest.raises(DatasetError, match=r"steps\.log"):
        read_steps(left)


def test_an_open_episode_never_reaches_out_of_its_folder(left: Path, root: Path) -> None:
    video = layout.video_file(root, "front", 0)
    (left / "front.mp4").replace(video)
    before = video.read_bytes()
    write_log(left / "wrist.frames", *list(read_log(left / "wrist.frames"))[:36])
    path = left / "steps.log"
    header, *rest = read_log(path)
    name = os.path.relpath(video.with_suffix(""), left)
    write_log(path, header.replace(b'"front"', json.dumps(name).encode()), *rest)
    (left / "front.frames").rename(video.with_suffix(".frames"))
    assert salvage(left) is None
    assert video.read_bytes() == before


def test_an_open_episode_of_another_robot_goes_to_the_trash(
    left: Path, root: Path, spec: RobotSpec
) -> None:
    path = left / "steps.log"
    header, *rest = read_log(path)
    write_log(path, header.replace(b'"max_velocity": 3.0', b'"max_velocity": 4.0'), *rest)
    with DatasetWriter(root, spec) as writer:
        assert writer.recovered == ()
    assert (root / layout.TRASH / left.name).is_dir()


def test_a_commit_that_makes_no_sense_is_recovered_from_the_recording(
    left: Path, root: Path, spec: RobotSpec
) -> None:
    entry = json.loads(read_lines(root / layout.JOURNAL)[-1])
    entry |= {"uuid": "f" * 32, "index": 3, "stats": {"action": {"min": [[1], [2, 3]]}}}
    (left / "commit.json").write_text(json.dumps(entry))
    with DatasetWriter(root, spec) as writer:
        assert writer.recovered == (3,)


@pytest.mark.parametrize("other", ['"least":', '"min":[[],1],"x":'])
def test_a_journal_with_impossible_statistics_is_refused_by_name(
    root: Path, spec: RobotSpec, other: str
) -> None:
    rewrite(root / layout.JOURNAL, '"min":', other)
    (root / layout.STATS).unlink()
    with pytest.raises(DatasetError, match=r"journal\.jsonl"), DatasetWriter(root, spec):
        pass


@pytest.mark.parametrize("text", ["[" * 100_000, '{"fps": ' + "[" * 5000 + "]" * 5000 + "}"])
def test_endless_nesting_is_refused(root: Path, text: str) -> None:
    (root / layout.INFO).write_text(text)
    with pytest.raises(DatasetError, match=r"info\.json"):
        read_info(root)


@pytest.mark.parametrize("key", ["codebase_version", "data_path", "fps", "demoloop", "robot\ntype"])
def test_what_a_file_says_at_length_is_not_repeated_at_length(root: Path, key: str) -> None:
    path = root / layout.INFO
    value = json.loads(path.read_text())
    value[key] = {"schema": 1, "spec": "x" * 100_000} if key == "demoloop" else "{x" * 50_000
    value["features"]["x" * 100_000 + "\n"] = value["features"]["action"]
    path.write_text(json.dumps(value))
    with pytest.raises(DatasetError) as refusal:
        read_info(root)
    assert len(str(refusal.value)) < 1500 and "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "place", ["{video_key:>999999999}", "{chunk_index.__class__}", "{file_index!r}"]
)
def test_a_template_holds_names_and_digits_only(root: Path, place: str) -> None:
    path = root / layout.INFO
    value = json.loads(path.read_text())
    path.write_text(json.dumps({**value, "video_path": value["video_path"] + place}))
    with pytest.raises(DatasetError, match="no template"):
        read_info(root)


@pytest.mark.parametrize("shape", [[10**9, 10**9], [0], [-1]])
def test_an_impossible_number_of_joints_is_refused(root: Path, shape: list[int]) -> None:
    path = root / layout.INFO
    value = json.loads(path.read_text())
    value["features"]["action"]["shape"] = shape
    path.write_text(json.dumps(value))
    with pytest.raises(DatasetError, match="numbers a step"):
        read_info(root)


@pytest.mark.parametrize("name", [layout.JOURNAL, layout.EDITS, COLLECTION])
def test_endless_nesting_behind_a_checksum_is_refused(
    root: Path, spec: RobotSpec, name: Path
) -> None:
    path, text = root / name, '{"a": ' + "[" * 5000 + "]" * 5000 + "}"
    path.unlink(missing_ok=True)
    if name == COLLECTION:
        path.write_text(text)
    else:
        append_line(path, text)
    with pytest.raises(DatasetError, match=path.name):
        read_journal(root) if name == layout.JOURNAL else open_dataset(root)


def test_a_cache_that_lists_rows_it_lacks_asks_for_no_room_for_them(tmp_path: Path) -> None:
    store = CacheStore(tmp_path / "store", ROWS)
    with store.locked():
        rows = store.allot([2])
        store.commit([(Segment("a", 0, 2), rows[0])])
    append_line(tmp_path / "store/index.jsonl", f'[["b", 0, 5, {1 << 40}]]')
    with store.locked():
        assert store.num_rows == 2


def test_two_columns_of_one_name_cost_their_episode_only(root: Path) -> None:
    path = layout.data_file(root, 1)
    table = pq.read_table(path)
    pq.write_table(table.append_column("timestamp", table["timestamp"]), path)
    dataset = open_dataset(root)
    assert [episode.index for episode in dataset.episodes] == [0, 2]
    assert "two columns" in dataset.missing[0]


def test_takeovers_that_are_no_truths_are_refused(root: Path) -> None:
    path = layout.data_file(root, 1)
    table = pq.read_table(path)
    lists = pa.array([[True] * (n % 3) for n in range(len(table))])
    place = table.column_names.index(layout.TAKEOVER)
    pq.write_table(table.set_column(place, layout.TAKEOVER, lists), path)
    with pytest.raises(DatasetError, match="episode 1"):
        open_dataset(root).episode(1)


@pytest.mark.parametrize("number", ["1e999", "1" + "0" * 300, "-1"])
def test_an_impossible_number_in_v21_is_refused(tmp_path: Path, number: str) -> None:
    READERS["v2.1"].write(tmp_path)
    path = tmp_path / "d/meta/episodes.jsonl"
    path.write_text(path.read_text().replace('"episode_index": 1', f'"episode_index": {number}'))
    with pytest.raises(DatasetError, match=r"episodes\.jsonl, line 2"):
        open_dataset(tmp_path / "d")


@pytest.mark.parametrize(
    ("old", "new"), [(b"avc1", b"zzzz"), (b"VideoHandler", b"Vid\xff\xfeHandler")]
)
def test_a_video_of_unknown_making_is_read_or_refused(root: Path, old: bytes, new: bytes) -> None:
    path = layout.video_file(root, "front", 0)
    path.write_bytes(path.read_bytes().replace(old, new[: len(old)]))
    try:
        with FrameReader(path) as reader:
            reader.frame(0)
    except VideoError as error:
        assert path.name in str(error)


def test_a_source_whose_name_is_too_long_is_not_there(root: Path, tmp_path: Path) -> None:
    merge([root], tmp_path / "merged")
    path = tmp_path / "merged" / COLLECTION
    for name, reason in (("x" * 5000, "is not there"), ("a\nb", "no path"), ("a\0b", "no path")):
        path.write_text(json.dumps({"sources": [{"path": name, "spec": ""}]}))
        with pytest.raises(DatasetError, match=reason):
            open_dataset(tmp_path / "merged")


def test_an_edit_that_does_not_fit_names_its_file(root: Path) -> None:
    uuid = open_dataset(root).episodes[0].uuid
    edit_episodes(root, "trim", {uuid: (1, 3)})
    rewrite(root / layout.EDITS, "[1,3]", '"' + "9" * 5000 + '"')
    with pytest.raises(DatasetError, match=r"edits\.jsonl: edit") as refusal:
        open_dataset(root)
    assert len(str(refusal.value)) < 1000


@pytest.mark.parametrize("line", ["[[1]]", "null", '[["a", -5, 5, 0]]', '[["a", 0, "5", 0]]'])
def test_a_cache_whose_index_is_not_understood_begins_anew(tmp_path: Path, line: str) -> None:
    store = CacheStore(tmp_path / "store", ROWS)
    with store.locked():
        pass
    append_line(tmp_path / "store/index.jsonl", line)
    with store.locked():
        assert store.num_rows == 0


@pytest.mark.parametrize("content", [b"", b"\xff", b"[[1]]", b'[["a"]]', b"{}"])
def test_a_cache_forgets_a_view_that_is_damaged(tmp_path: Path, content: bytes) -> None:
    store, wanted = CacheStore(tmp_path / "store", ROWS), Segment("a", 0, 2)
    with store.locked():
        rows = store.allot([2, 6])
        store.commit([(wanted, rows[0]), (Segment("b", 0, 6), rows[1])])
        (tmp_path / "store/views/old.json").write_bytes(content)
        store.use("new", [wanted])
        assert store.find(wanted) == 0 and store.num_rows == 2


def test_a_remembered_check_that_is_no_text_is_looked_for_again(tmp_path: Path) -> None:
    path = tmp_path / "check.json"
    path.write_bytes(b'{"defects": [{"episode": 0, "uuid": "\xed\xa0"}]}')
    assert recall(path, "") is None
