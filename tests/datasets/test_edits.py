"""What edits leave of a dataset, and that every one of them can be taken back."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from demoloop.datasets import DatasetError, DatasetWriter, Episode, open_dataset
from demoloop.datasets.edits import Op, Value, edit_episodes, read_edits, undo_edit
from demoloop.datasets.lines import append_line
from demoloop.datasets.splits import draw_splits
from demoloop.robot import RobotSpec

TRAINED_ON: list[tuple[Op, Value]] = [
    ("drop", None),
    ("trim", (1, 4)),
    ("relabel", "push the cube"),
    ("success", True),
    ("success", None),
    ("weigh", 0.5),
]
FOR_PEOPLE: list[tuple[Op, Value]] = [("tag", "blurred"), ("untag", "blurred"), ("split", "val")]


def uuids(root: Path) -> list[str]:
    return [episode.uuid for episode in open_dataset(root).episodes]


def contents(folder: Path) -> dict[Path, tuple[int, int, str]]:
    """Returns time of change, size and hash of all that was recorded."""
    found = {}
    for path in (
        path for part in ("data", "videos", "meta") for path in (folder / part).rglob("*")
    ):
        if path.is_file():
            stat, digest = path.stat(), hashlib.sha256(path.read_bytes()).hexdigest()
            found[path] = (stat.st_mtime_ns, stat.st_size, digest)
    return found


@pytest.mark.parametrize(("op", "value"), [*TRAINED_ON, *FOR_PEOPLE])
def test_no_edit_touches_what_was_recorded(root: Path, op: Op, value: Value) -> None:
    before = contents(root)
    edit_episodes(root, op, dict.fromkeys(uuids(root)[:2], value))
    open_dataset(root)
    assert contents(root) == before


@pytest.mark.parametrize(("op", "value"), TRAINED_ON)
def test_view_hash_changes_with_what_training_sees(root: Path, op: Op, value: Value) -> None:
    before = open_dataset(root).view_hash()
    edit_episodes(root, op, {uuids(root)[0]: value})
    assert open_dataset(root).view_hash() != before


@pytest.mark.parametrize(
    ("op", "value"),
    [*FOR_PEOPLE, ("trim", (0, 5)), ("relabel", "pick the cube"), ("weigh", 1), ("success", False)],
)
def test_view_hash_stays_when_training_sees_the_same(root: Path, op: Op, value: Value) -> None:
    before = open_dataset(root).view_hash()
    edit_episodes(root, op, {uuids(root)[0]: value})
    assert open_dataset(root).view_hash() == before


def test_undoing_any_sequence_of_edits_gives_back_the_view(root: Path) -> None:
    rng = np.random.default_rng(0)
    names = uuids(root)
    views, made = [open_dataset(root).view_hash()], []
    for _ in range(12):
        op, value = [*TRAINED_ON, *FOR_PEOPLE][rng.integers(9)]
        if op == "drop" and "drop" in {edit.op for edit in made}:
            continue  # of all three nothing would be left to open
        made.append(edit_episodes(root, op, {names[rng.integers(3)]: value}))
        views.append(open_dataset(root).view_hash())
    assert len(set(views)) > 3
    for edit, view in zip(reversed(made), reversed(views[:-1]), strict=True):
        undo_edit(root, edit.id)
        assert open_dataset(root).view_hash() == view
    shuffled = [read_edits(root)[-1 - n].id for n in rng.permutation(len(made))]
    for undo in shuffled:  # redone in any order, what was done holds again
        undo_edit(root, undo)
    assert open_dataset(root).view_hash() == views[-1]


def test_undo_without_a_name_takes_back_the_last_that_holds(root: Path) -> None:
    first, second = uuids(root)[:2]
    edits = [edit_episodes(root, "drop", {uuid: None}) for uuid in (first, second)]
    assert [undo_edit(root).undoes, undo_edit(root).undoes] == [edits[1].id, edits[0].id]
    with pytest.raises(DatasetError, match="no edit to undo"):
        undo_edit(root)


def test_what_is_undone_is_not_undone_again(root: Path) -> None:
    edit = edit_episodes(root, "drop", {uuids(root)[0]: None})
    undo = undo_edit(root, edit.id)
    with pytest.raises(DatasetError, match=f"undone already, by {undo.id}"):
        undo_edit(root, edit.id)
    with pytest.raises(DatasetError, match="no edit 'ffffffff'"):
        undo_edit(root, "ffffffff")


@pytest.mark.parametrize(("first", "stop"), [(0, 1), (2, 5), (3, 7), (0, 7)])
def test_trimmed_episode_is_the_slice_of_the_recorded_one(
    root: Path, first: int, stop: int
) -> None:
    whole = open_dataset(root)
    recorded = whole.episode(2)
    edit_episodes(root, "trim", {whole.episodes[2].uuid: (first, stop)})
    dataset = open_dataset(root)
    kept, info = dataset.episode(2), dataset.episodes[2]
    assert (info.first, info.length, info.recorded_length) == (first, stop - first, 7)
    assert dataset.num_frames == 11 + stop - first
    for name in ("time", "proprioception", "actions"):
        np.testing.assert_array_equal(getattr(kept, name), getattr(recorded, name)[first:stop])
    for camera, images in recorded.images.items():
        np.testing.assert_array_equal(kept.images[camera], images[first:stop])
        times = recorded.image_times[camera][first:stop]
        np.testing.assert_array_equal(kept.image_times[camera], times)
        one = dataset.frame(2, camera, info.length - 1)
        np.testing.assert_array_equal(one, images[stop - 1])


def test_takeovers_and_events_are_trimmed_with_the_steps(
    tmp_path: Path, spec: RobotSpec, make_episode: Callable[..., Episode]
) -> None:
    taken = np.array([False, False, True, True, False, False])
    events = ((1, "early"), (3, "grasped"), (5, "late"))
    episode = replace(make_episode(1, steps=6), is_takeover=taken, events=events)
    with DatasetWriter(tmp_path / "d", spec) as writer:
        writer.add(episode)
    edit_episodes(tmp_path / "d", "trim", {uuids(tmp_path / "d")[0]: (2, 5)})
    kept = open_dataset(tmp_path / "d").episode(0)
    assert kept.is_takeover is not None and kept.is_takeover.tolist() == [True, True, False]
    assert kept.events == ((1, "grasped"),)


def test_a_trim_counts_recorded_steps_whatever_was_trimmed_before(root: Path) -> None:
    uuid = uuids(root)[2]
    edit_episodes(root, "trim", {uuid: (3, 5)})
    edit_episodes(root, "trim", {uuid: (1, 7)})
    assert (open_dataset(root).episodes[2].first, open_dataset(root).episodes[2].length) == (1, 6)


def test_order_of_edits_matters_only_where_they_set_the_same(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(root, other)
    one, two, _ = uuids(root)
    edits: list[tuple[Op, dict[str, Value]]] = [
        ("trim", {one: (1, 3)}),
        ("relabel", {one: "push", two: "pull"}),
        ("weigh", {one: 2.0}),
        ("tag", {one: "b"}),
        ("tag", {one: "a"}),
        ("success", {two: True}),
        ("split", {two: "val"}),
    ]
    for op, values in edits:
        edit_episodes(root, op, values)
    for op, values in reversed(edits):
        edit_episodes(other, op, values)
    assert open_dataset(root).episodes == open_dataset(other).episodes
    edit_episodes(root, "relabel", {one: "pull"})
    edit_episodes(root, "relabel", {one: "push it"})
    assert open_dataset(root).episodes[0].task == "push it"


@pytest.mark.parametrize(
    ("op", "value"),
    [
        ("trim", (3, 3)),
        ("trim", (4, 2)),
        ("trim", (-1, 2)),
        ("trim", (0, 6)),
        ("trim", None),
        ("trim", 3.0),
        ("relabel", " "),
        ("relabel", "two\nlines"),
        ("relabel", "\x1b[31mred"),
        ("relabel", None),
        ("success", "yes"),
        ("weigh", -0.1),
        ("weigh", float("nan")),
        ("weigh", float("inf")),
        ("weigh", True),
        ("tag", ""),
        ("tag", "two words"),
        ("split", "two words"),
        ("split", None),
        ("drop", "x"),
        ("undo", None),
    ],
)
def test_a_bad_edit_is_one_sentence_and_nothing_is_written(
    root: Path, op: Op, value: Value
) -> None:
    names = uuids(root)
    edit_episodes(root, "tag", {names[0]: "seen"})
    before = (root / "demoloop/edits.jsonl").read_bytes()
    with pytest.raises(DatasetError) as caught:
        edit_episodes(root, op, {names[1]: None if op == "drop" else value, names[0]: value})
    assert "\n" not in str(caught.value)
    assert (root / "demoloop/edits.jsonl").read_bytes() == before


@pytest.mark.parametrize("values", [{}, {"f" * 32: None}])
def test_an_edit_of_no_episode_is_refused(root: Path, values: dict[str, Value]) -> None:
    with pytest.raises(DatasetError, match="no episode"):
        edit_episodes(root, "drop", values)
    assert not (root / "demoloop/edits.jsonl").exists()


def test_a_dataset_of_which_all_is_dropped_says_how_to_get_it_back(root: Path) -> None:
    edit_episodes(root, "drop", dict.fromkeys(uuids(root)))
    with pytest.raises(DatasetError, match=r"all 3 episodes are dropped.*undo"):
        open_dataset(root)
    undo_edit(root)
    assert len(open_dataset(root).episodes) == 3


def test_a_split_is_opened_alone_and_known_by_its_own_view(root: Path) -> None:
    one, two, three = uuids(root)
    edit_episodes(root, "split", {one: "train", two: "val", three: "train"})
    train, val = open_dataset(root, "train"), open_dataset(root, split="val")
    assert [it.index for it in train.episodes] == [0, 2]
    assert [it.index for it in val.episodes] == [1]
    assert train.spec == val.spec and train.view_hash() != val.view_hash()
    edit_episodes(root, "split", {two: "train"})
    assert open_dataset(root, "train").view_hash() == open_dataset(root).view_hash()
    with pytest.raises(DatasetError, match="no episode in split 'val'; its splits are train"):
        open_dataset(root, "val")


def test_a_draw_depends_on_the_episodes_and_not_on_their_order() -> None:
    names = [f"{number:032x}" for number in range(20)]
    drawn = draw_splits(names, {"val": 0.2}, seed=0)
    assert draw_splits(names[::-1], {"val": 0.2}, seed=0) == drawn
    assert sorted(drawn.values()) == ["train"] * 16 + ["val"] * 4


def test_edits_of_episodes_that_are_gone_are_told(root: Path) -> None:
    path = root / "demoloop/edits.jsonl"
    edit_episodes(root, "drop", {uuids(root)[0]: None})
    line = path.read_text()
    path.unlink()
    append_line(path, line.partition(" ")[2].rstrip("\n").replace(uuids(root)[0], "0" * 32))
    dataset = open_dataset(root)
    assert len(dataset.episodes) == 3 and "1 edited episode cannot be found" in dataset.missing[0]
