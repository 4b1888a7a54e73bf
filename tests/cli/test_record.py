"""Laws of recording: the same options give the same dataset, however it came about."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from demoloop.cli.record import Options, record_expert
from demoloop.datasets import DatasetError, open_dataset
from demoloop.sim import SimError
from demoloop.sim.seeds import FIRST_TRAINING_SEED


def record(folder: Path, episodes: int, workers: int = 2) -> str:
    """Records stack and returns the hash of what came out."""
    options = Options(folder, task="stack", episodes=episodes, workers=workers)
    assert record_expert(options, progress=False) == episodes
    return open_dataset(folder).view_hash()


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("record") / "four"
    return folder, record(folder, 4)


def test_dataset_does_not_depend_on_the_number_of_workers(
    four: tuple[Path, str], tmp_path: Path
) -> None:
    assert record(tmp_path / "alone", 4, workers=1) == four[1]


def test_continued_recording_equals_one_without_a_break(
    four: tuple[Path, str], tmp_path: Path
) -> None:
    record(tmp_path / "broken", 2)
    assert record(tmp_path / "broken", 4) == four[1]


def test_demonstrations_are_successes_in_the_order_of_training_seeds(
    four: tuple[Path, str],
) -> None:
    episodes = open_dataset(four[0]).episodes
    seeds = [episode.seed for episode in episodes if episode.seed is not None]
    assert len(seeds) == 4
    assert seeds == sorted(set(seeds))
    assert min(seeds) >= FIRST_TRAINING_SEED
    assert all(episode.success for episode in episodes)


def test_randomised_demonstrations_are_other_pictures_of_the_same_places(
    four: tuple[Path, str], tmp_path: Path
) -> None:
    options = Options(tmp_path / "random", task="stack", episodes=1, randomize=True)
    assert record_expert(options, progress=False) == 1
    plain, other = (open_dataset(folder).episode(0) for folder in (four[0], options.out))
    assert plain.seed == other.seed
    # rad and rad/s: under its weight an arm of another servo gain settles elsewhere.
    np.testing.assert_allclose(plain.proprioception[0], other.proprioception[0], atol=0.02)
    difference = plain.images["front"][0].astype(float) - other.images["front"][0]
    assert np.abs(difference).mean() > 2  # far beyond what the video costs


def test_nothing_but_the_dataset_is_left_in_the_folder(four: tuple[Path, str]) -> None:
    root = four[0]
    assert {path.name for path in root.iterdir()} == {"data", "meta", "videos", "demoloop"}
    assert {path.name for path in (root / "demoloop").iterdir()} == {"journal.jsonl", "lock"}


def test_seed_that_is_kept_for_judging_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SimError, match="seed 17 is kept for judging"):
        record_expert(Options(tmp_path / "data", seed=17), progress=False)


def test_another_task_is_not_mixed_into_a_dataset(four: tuple[Path, str]) -> None:
    with pytest.raises(DatasetError, match="into a folder of its own"):
        record_expert(Options(four[0], task="push", episodes=5), progress=False)


def test_no_worker_is_refused(tmp_path: Path) -> None:
    options = replace(Options(tmp_path / "data"), workers=0)
    with pytest.raises(SimError, match="ask for at least 1"):
        record_expert(options, progress=False)


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
def test_ctrl_c_keeps_what_is_committed(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    command = [sys.executable, "-m", "demoloop", "record", "--out", str(folder)]
    process = subprocess.Popen(
        [*command, "--episodes", "500"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while len(list(folder.glob("data/*/*.parquet"))) < 3 and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the workers hear it too
    assert process.wait(60) == 130
    dataset = open_dataset(folder)
    assert len(dataset.episodes) >= 2
    assert not dataset.missing


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--task", "juggle"], "no task 'juggle'; there are pick_place"),
        (["--workers", "0"], "ask for at least 1"),
        (["--episodes", "0"], "--episodes is 0; ask for at least 1"),
        (["--seed", "17"], "seed 17 is kept for judging"),
        (["--expert", "-1"], "--expert is -1; persons are counted from 0"),
    ],
)
def test_impossible_wish_is_answered_in_a_sentence_before_anything_is_written(
    complaint: Callable[..., str], tmp_path: Path, words: list[str], sentence: str
) -> None:
    assert sentence in complaint("record", "--out", tmp_path / "data", *words)
    assert not (tmp_path / "data").exists()


def test_file_in_the_place_of_the_dataset_is_refused(
    complaint: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "data").write_text("precious")
    assert str(tmp_path / "data") in complaint("record", "--out", tmp_path / "data")
    assert (tmp_path / "data").read_text() == "precious"


def test_another_robots_dataset_is_not_continued(
    complaint: Callable[..., str], foreign_data: Path
) -> None:
    said = complaint("record", "--out", foreign_data, "--episodes", "3")
    assert "is of another robot" in said
