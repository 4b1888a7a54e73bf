"""What is appended stays; what was being appended when the power went makes way."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from demoloop.datasets import DatasetError, DatasetWriter, Episode, open_dataset
from demoloop.datasets.camera_stream import file_sha256
from demoloop.datasets.framing import LogWriter, read_log
from demoloop.datasets.journal import read_journal
from demoloop.datasets.lines import append_line, read_lines
from demoloop.robot import RobotSpec

Make = Callable[..., Episode]
JOURNAL = "demoloop/journal.jsonl"


def test_a_log_cut_at_any_byte_gives_the_records_that_are_whole(tmp_path: Path) -> None:
    log, payloads = LogWriter(tmp_path / "log"), [b"", b"a", b"bc" * 30]
    log.open()
    for payload in payloads:
        log.append(payload)
    log.close()
    data = (tmp_path / "log").read_bytes()
    ends = [0, 8, 17, 85]
    assert len(data) == ends[-1]
    for cut in range(len(data) + 1):
        (tmp_path / "log").write_bytes(data[:cut])
        whole = sum(end <= cut for end in ends) - 1
        assert list(read_log(tmp_path / "log")) == payloads[:whole]


def test_a_log_never_reads_more_than_a_record_may_hold(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"\xff\xff\xff\x7f" + bytes(100))
    assert list(read_log(tmp_path / "log")) == []


def test_lines_cut_at_any_byte_give_those_that_are_whole_and_go_on(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    for text in ("one", "zwei, grün", ""):
        append_line(path, text)
    data = path.read_bytes()
    for cut in range(len(data) + 1):
        path.write_bytes(data[:cut])
        whole = read_lines(path)
        assert whole == ["one", "zwei, grün", ""][: data[:cut].count(b"\n")]
        append_line(path, "after")
        assert read_lines(path) == [*whole, "after"]


def test_a_damaged_line_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    for text in ("one", "two", "three"):
        append_line(path, text)
    data = bytearray(path.read_bytes())
    data[data.index(b"two")] ^= 1
    path.write_bytes(data)
    with pytest.raises(DatasetError, match=r"lines, line 2 is damaged"):
        read_lines(path)


def test_every_file_of_an_episode_stands_in_the_journal_with_its_sha256(root: Path) -> None:
    entries = read_journal(root)
    assert [(entry.index, entry.length, entry.seed) for entry in entries] == [
        (0, 5, 1),
        (1, 6, 2),
        (2, 7, 3),
    ]
    listed = {root / path: sha256 for entry in entries for path, sha256 in entry.files.items()}
    written = {path for kind in ("parquet", "mp4") for path in root.rglob(f"*.{kind}")}
    written = {path for path in written if "meta" not in path.parts}
    assert set(listed) == written
    assert {path: file_sha256(path) for path in written} == listed


def test_what_was_recorded_keeps_its_hash_under_another_number(
    tmp_path: Path, spec: RobotSpec, make_episode: Make
) -> None:
    for name, seeds in (("a", (1, 2)), ("b", (2, 1))):
        with DatasetWriter(tmp_path / name, spec) as writer:
            for seed in seeds:
                writer.add(make_episode(seed))
    one, other = (read_journal(tmp_path / name) for name in ("a", "b"))
    assert [entry.sha256 for entry in one] == [entry.sha256 for entry in other][::-1]
    assert one[0].sha256 != one[1].sha256


@pytest.mark.parametrize("lost", ["meta/stats.json", "meta/tasks.parquet", "meta/episodes"])
def test_indices_that_are_lost_are_made_again_from_the_journal(
    root: Path, spec: RobotSpec, lost: str
) -> None:
    path = root / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    before = open_dataset(root).episodes if path.suffix == ".json" else None
    with DatasetWriter(root, spec) as writer:
        assert writer.num_episodes == 3
    assert path.exists()
    episodes = open_dataset(root).episodes
    assert [episode.seed for episode in episodes] == [1, 2, 3]
    assert before is None or before == episodes


def test_an_index_that_missed_the_last_commit_is_made_again(
    root: Path, spec: RobotSpec, make_episode: Make, tmp_path: Path
) -> None:
    shutil.copytree(root / "meta", tmp_path / "meta")
    with DatasetWriter(root, spec) as writer:
        writer.add(make_episode(4))
    shutil.rmtree(root / "meta")
    os.rename(tmp_path / "meta", root / "meta")  # as if power had gone before the index was there
    with DatasetWriter(root, spec):
        pass
    assert [episode.seed for episode in open_dataset(root).episodes] == [1, 2, 3, 4]


def test_a_dataset_whose_journal_is_gone_is_not_appended_to(root: Path, spec: RobotSpec) -> None:
    (root / JOURNAL).unlink()
    with pytest.raises(DatasetError, match=r"no demoloop/journal\.jsonl.* import it"):
        DatasetWriter(root, spec).__enter__()
    assert len(open_dataset(root).episodes) == 3
