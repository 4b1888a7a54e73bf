"""Laws of `demoloop dataset import` and `export`: a whole new dataset or file, or one sentence."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from demoloop.__main__ import main
from demoloop.cli.dataset_import import said
from demoloop.datasets import open_dataset
from demoloop.datasets.importers import ImportReport
from demoloop.datasets.importers.found import Skipped

Complaint = Callable[..., str]


@pytest.mark.parametrize("name", ["lerobot", "robomimic"])
def test_what_is_exported_is_recognised_and_imported(
    so101_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    there, back = str(tmp_path / "there"), str(tmp_path / "back")
    assert main(["dataset", "export", str(so101_data), there, "--format", name]) == 0
    assert f"2 episodes of 0.6 s as {name}" in capsys.readouterr().out
    assert main(["dataset", "import", there, back]) == 0
    printed = capsys.readouterr().out
    assert f"has 2 episodes from {name}, 0 skipped" in printed
    assert f"next: demoloop dataset check {back}" in printed
    assert open_dataset(tmp_path / "back").spec == open_dataset(so101_data).spec


def test_what_is_skipped_is_a_table(
    make_data: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_data(3)
    (root / "data/chunk-000/file-001.parquet").unlink()
    assert main(["dataset", "import", str(root), str(tmp_path / "new")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["skipped", "why"]
    assert lines[1].startswith("episode 1") and "file-001.parquet" in lines[1]
    assert "has 2 episodes from lerobot, 1 skipped" in lines[2]


def test_many_skipped_episodes_are_said_in_a_few_lines() -> None:
    skipped = tuple(Skipped(f"episode {number}", "it is missing\n" * 90) for number in range(98))
    notes = tuple(f"note {number}" for number in range(50))
    lines = said(ImportReport("d", "lerobot", "", ("episode 98",), skipped, {}, notes))
    assert len(lines) < 45 and "... and 78 more" in lines and "... and 30 more notes" in lines
    assert all("\n" not in line and len(line) < 320 for line in lines)


def test_a_source_that_is_not_there_is_refused(complaint: Complaint, tmp_path: Path) -> None:
    sentence = complaint("dataset", "import", tmp_path / "nothing", tmp_path / "new")
    assert "does not exist" in sentence and not list(tmp_path.iterdir())


def test_a_source_of_no_known_format_lists_those_there_are(
    complaint: Complaint, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    sentence = complaint("dataset", "import", tmp_path / "notes.txt", tmp_path / "new")
    assert "lerobot, act, robomimic, mcap" in sentence


@pytest.mark.parametrize("verb", ["import", "export"])
def test_a_format_that_is_not_known_lists_those_there_are(
    complaint: Complaint, so101_data: Path, tmp_path: Path, verb: str
) -> None:
    sentence = complaint("dataset", verb, so101_data, tmp_path / "new", "--format", "rosbag")
    assert "no format 'rosbag'" in sentence and "robomimic" in sentence
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("verb", [["import"], ["export", "--format", "lerobot"]])
def test_what_is_there_already_is_not_touched(
    complaint: Complaint, so101_data: Path, tmp_path: Path, verb: list[str]
) -> None:
    (tmp_path / "mine").mkdir()
    sentence = complaint("dataset", verb[0], so101_data, tmp_path / "mine", *verb[1:])
    assert "is there already" in sentence and not list((tmp_path / "mine").iterdir())


@pytest.mark.parametrize("verb", [["import"], ["export", "--format", "rerun"]])
def test_a_place_that_cannot_be_a_folder_is_refused(
    complaint: Complaint, so101_data: Path, tmp_path: Path, verb: list[str]
) -> None:
    (tmp_path / "file").write_text("mine")
    sentence = complaint("dataset", verb[0], so101_data, tmp_path / "file" / "new", *verb[1:])
    assert "choose another place" in sentence


@pytest.mark.parametrize("verb", ["import", "export"])
def test_ctrl_c_leaves_nothing_behind(
    make_data: Callable[..., Path], tmp_path: Path, verb: str
) -> None:
    root = make_data(10)
    words = ["dataset", verb, str(root), str(tmp_path / "new")]
    words += ["--format", "robomimic"] if verb == "export" else []
    command = [
        sys.executable,
        "-c",
        "import sys; from demoloop.__main__ import main; sys.exit(main())",
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    child = subprocess.Popen([*command, *words], env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while not list(tmp_path.glob(".new.*")):  # it has begun to write
        assert time.monotonic() < deadline and child.poll() is None
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    assert child.wait(30) == 130
    assert [path.name for path in tmp_path.iterdir()] == [root.name]
