"""The verbs that list and edit a dataset: how episodes are named, and what is answered."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from demoloop.__main__ import main
from demoloop.datasets import EpisodeInfo, open_dataset

Complaint = Callable[..., str]
Run = Callable[..., str]


@pytest.fixture
def data(so101_data: Path, tmp_path: Path) -> Path:
    """Two episodes of 8 steps at 25 Hz that may be edited."""
    return Path(shutil.copytree(so101_data, tmp_path / "data"))


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Does a verb of `demoloop dataset` and returns what it prints."""

    def call(*words: object) -> str:
        capsys.readouterr()
        assert main(["dataset", *map(str, words)]) == 0
        return capsys.readouterr().out

    return call


def episodes(data: Path) -> tuple[EpisodeInfo, ...]:
    return open_dataset(data).episodes


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["relabel", "all", "--task", "wave"], {"task": "wave"}),
        (["success", "0-1", "--value", "false"], {"success": False}),
        (["success", "0,1", "--value", "none"], {"success": None}),
        (["weigh", "0", "1", "--weight", "2"], {"weight": 2.0}),
        (["tag", "all", "--tag", "dark"], {"tags": ("dark",)}),
        (["split", "all", "--name", "val"], {"split": "val"}),
        (["trim", "all", "--first", "2"], {"first": 2, "length": 6}),
        (["trim", "all", "--stop", "5"], {"first": 0, "length": 5}),
        (["trim", "all", "--stop", "-1"], {"first": 0, "length": 7}),
        (["trim", "all", "--first-s", "0.08", "--stop-s", "-0.04"], {"first": 2, "length": 5}),
    ],
)
def test_what_a_verb_sets_holds_until_it_is_undone(
    data: Path, run: Run, words: list[str], expected: dict[str, object]
) -> None:
    before = episodes(data)
    said = run(words[0], data, *words[1:])
    assert re.match(r"\w+: 2 episodes, edit [0-9a-f]{8}\n", said)
    for episode in episodes(data):
        assert {name: getattr(episode, name) for name in expected} == expected
    run("undo", data)
    assert episodes(data) == before


def test_a_tag_is_taken_off_again(data: Path, run: Run) -> None:
    run("tag", data, "all", "--tag", "dark")
    run("tag", data, "0", "--tag", "dark", "--remove")
    assert [episode.tags for episode in episodes(data)] == [(), ("dark",)]


def test_an_episode_is_named_by_the_beginning_of_its_uuid(data: Path, run: Run) -> None:
    uuid = episodes(data)[1].uuid
    assert uuid[:8] in run("list", data)
    run("drop", data, uuid[:8])
    assert [episode.index for episode in episodes(data)] == [0]


def test_an_undo_can_be_undone_by_the_name_it_is_told(data: Path, run: Run) -> None:
    run("drop", data, "0")
    said = run("undo", data)
    assert len(episodes(data)) == 2
    again = re.search(r"undo \S+ ([0-9a-f]{8})`", said)
    assert again is not None
    run("undo", data, again[1])
    assert len(episodes(data)) == 1


def test_history_says_who_did_what_and_what_was_undone(data: Path, run: Run) -> None:
    run("trim", data, "1", "--stop", "5", "--author", "ada")
    run("drop", data, "0")
    run("undo", data)
    lines = run("history", data).splitlines()
    assert re.fullmatch(r"[0-9a-f]{8}  \S+\+00:00  ada  trim 1 to 0-5", lines[0])
    assert re.search(r"drop 0, undone by [0-9a-f]{8}$", lines[1])
    assert lines[3] == "3 edits, 1 of them undone"


def test_list_shows_the_view_and_what_edits_left(data: Path, run: Run) -> None:
    run("trim", data, "1", "--first", "2", "--stop", "5")
    run("weigh", data, "1", "--weight", "0.5")
    head, first, second, last = run("list", data).splitlines()
    assert head.split()[:3] == ["index", "uuid", "seconds"]
    assert " all " in first and " 2-5 of 8 " in second and " 0.5 " in second
    assert last.endswith(f"view {open_dataset(data).view_hash()}")


def test_a_draw_is_the_same_for_the_same_seed_and_covers_all(
    make_data: Callable[..., Path], run: Run
) -> None:
    data = make_data(6)

    def draw(seed: int) -> tuple[str, ...]:
        said = run("split", data, "--val", "0.3", "--test", "0.2", "--seed", seed)
        assert said.endswith("test: 1, train: 3, val: 2\n")
        return tuple(episode.split for episode in episodes(data))

    draws = [draw(seed) for seed in (0, 1, 2, 3, 0)]
    assert draws[0] == draws[-1] and len(set(draws)) > 1
    assert len(open_dataset(data, "val").episodes) == 2


def test_datasets_are_merged_without_copying(
    make_data: Callable[..., Path], run: Run, tmp_path: Path
) -> None:
    sources = [make_data(2, name) for name in ("one", "two")]
    out = tmp_path / "both"
    assert "4 episodes" in run("merge", *sources, "--out", out)
    assert len(episodes(out)) == 4
    assert sum(path.stat().st_size for path in out.rglob("*.json")) < 1000
    run("drop", out, "0")
    assert (len(episodes(out)), len(episodes(sources[0]))) == (3, 2)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["drop", "DATA", "2"], "no episode '2', or it is dropped"),
        (["drop", "DATA", "5-9"], "no episode '5-9'"),
        (["drop", "DATA", "first"], "no episode 'first'"),
        (["drop", "DATA", "abc"], "no episode 'abc'"),
        (["drop", "DATA"], "no episode is named"),
        (["drop", "NOWHERE", "0"], "no such folder"),
        (["trim", "DATA", "0"], "say what to keep"),
        (["trim", "DATA", "0", "--first", "8"], "leave nothing"),
        (["trim", "DATA", "0", "--stop", "9"], "has steps 0 to 8, the last excluded; 0 to 9"),
        (["trim", "DATA", "0", "--first", "-9"], "-1 to 8 is outside"),
        (["trim", "DATA", "0", "--first", "1", "--first-s", "1"], "say the same"),
        (["trim", "DATA", "0", "--stop-s", "nan"], "no number of seconds"),
        (["weigh", "DATA", "0", "--weight", "-1"], "at least 0, not -1.0"),
        (["tag", "DATA", "0", "--tag", "two words"], "one word: 'two words'"),
        (["split", "DATA"], "--val 0.1"),
        (["split", "DATA", "0", "--name", "val", "--val", "0.5"], "either which share"),
        (["split", "DATA", "--val", "1.5"], "share of val is 1.5"),
        (["split", "DATA", "--val", "0.6", "--test", "0.4"], "too few"),
        (["split", "DATA", "--val", "0.5", "--seed", "-1"], "--seed is -1"),
        (["undo", "DATA"], "no edit to undo"),
        (["undo", "NOWHERE"], "no edit to undo"),
        (["history", "NOWHERE"], "no such folder"),
        (["merge", "--out", "NEW"], "no dataset to merge"),
        (["merge", "DATA", "DATA", "--out", "NEW"], "are the same recording; drop one"),
        (["merge", "DATA", "--out", "DATA"], "is not empty"),
    ],
)
def test_bad_input_is_one_sentence_and_changes_nothing(
    data: Path, complaint: Complaint, tmp_path: Path, words: list[str], sentence: str
) -> None:
    places = {"DATA": data, "NEW": tmp_path / "new", "NOWHERE": tmp_path / "nowhere"}
    before = sorted(tmp_path.rglob("*"))
    assert sentence in complaint("dataset", *(places.get(word, word) for word in words))
    assert sorted(tmp_path.rglob("*")) == before
