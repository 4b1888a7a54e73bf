"""Each defect is found where it is and called what it is; what is whole is left in peace."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from demoloop.datasets import Dataset, DatasetWriter, Episode, open_dataset
from demoloop.datasets.check import NO_EPISODE, Defect, find_defects
from demoloop.datasets.edits import edit_episodes
from demoloop.robot import RobotSpec

Make = Callable[..., Dataset]
Spoil = Callable[[Episode], Episode]
DATA, FRONT = "data/chunk-000/file-001.parquet", "videos/observation.images.front/chunk-000/"


def readings(episode: Episode, change: Callable[[np.ndarray], object]) -> Episode:
    values = episode.proprioception.copy()
    change(values)
    return replace(episode, proprioception=values)


def commands(episode: Episode, change: Callable[[np.ndarray], object]) -> Episode:
    values = episode.actions.copy()
    change(values)
    return replace(episode, actions=values)


def pictures(episode: Episode, change: Callable[[np.ndarray], object]) -> Episode:
    values = episode.images["front"].copy()
    change(values)
    return replace(episode, images={**episode.images, "front": values})


def times(episode: Episode, change: Callable[[np.ndarray], object]) -> Episode:
    values = episode.time.copy()
    change(values)
    return replace(episode, time=values, image_times=dict.fromkeys(episode.images, values))


def capture(episode: Episode, change: Callable[[np.ndarray], object]) -> Episode:
    values = episode.image_times["front"].copy()
    change(values)
    return replace(episode, image_times={**episode.image_times, "front": values})


def put(where: Any, value: Any) -> Callable[[np.ndarray], object]:
    return lambda values: values.__setitem__(where, value)


def add(where: Any, value: Any) -> Callable[[np.ndarray], object]:
    return lambda values: values.__setitem__(where, values[where] + value)


SPOILT: dict[str, tuple[Spoil, str, str, tuple[int, int]]] = {
    "dead": (
        lambda e: readings(e, put((slice(0, None), 0), 0.1)),
        "dead joint", "shoulder", (0, 119),
    ),
    "dead jaw": (
        lambda e: readings(e, put((slice(0, None), 2), 0.5)),
        "dead joint", "gripper", (0, 119),
    ),
    "jump": (
        lambda e: readings(e, add((slice(60, None), 1), 0.5)),
        "jump", "elbow", (59, 60),
    ),
    "spike": (
        lambda e: readings(e, add((31, 1), 0.11)),
        "jump", "elbow", (30, 32),
    ),
    "leap of a command": (
        lambda e: commands(e, put((slice(60, 63), 0), 2.0)),
        "jump", "shoulder", (59, 63),
    ),
    "at the stop": (
        lambda e: readings(commands(e, put((slice(30, None), 0), 2.0)),
                           lambda v: put((slice(30, None), 0), np.minimum(
                               v[29, 0] + 0.1 * np.arange(90), 2.0))(v)),
        "saturation", "shoulder", (31, 119),
    ),
    "frozen": (
        lambda e: pictures(e, lambda v: put(slice(30, 60), v[30])(v)),
        "frozen camera", "front", (30, 59),
    ),
    "stopped": (
        lambda e: capture(e, lambda v: put(slice(30, 60), v[29])(v)),
        "frozen camera", "front", (29, 59),
    ),
    "dropped": (
        lambda e: capture(e, lambda v: put(slice(30, 34), v[29])(v)),
        "drops", "front", (29, 33),
    ),
    "dark": (
        lambda e: pictures(e, put(slice(40, 70), 5)),
        "dark camera", "front", (40, 69),
    ),
    "blown out": (
        lambda e: pictures(e, put(slice(40, 70), 255)),
        "blown-out camera", "front", (40, 69),
    ),
    "late pictures": (
        lambda e: capture(e, add(slice(0, None), -0.2)),
        "time skew", "front", (0, 119),
    ),
    "other pictures": (
        lambda e: pictures(e, lambda v: put(slice(8, None), v[:-8].copy())(v)),
        "time skew", "front", (0, 119),
    ),
    "late step": (
        lambda e: times(e, add(slice(60, None), 0.2)),
        "late step", "", (59, 60),
    ),
    "time goes back": (
        lambda e: times(e, add(slice(60, None), -0.05)),
        "clock", "", (59, 60),
    ),
    "slow": (
        lambda e: times(e, lambda v: put(slice(0, None), v * 1.2)(v)),
        "wrong rate", "", (0, 119),
    ),
    "uneven": (
        lambda e: times(e, add(slice(0, None, 4), 0.02)),
        "uneven steps", "", (0, 119),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def looked(
    tmp_path_factory: pytest.TempPathFactory, waves: Callable[[int], Episode], spec: RobotSpec
) -> tuple[Dataset, tuple[Defect, ...]]:
    """Every spoilt episode side by side, and what was found in them."""
    folder = tmp_path_factory.mktemp("check") / "spoilt"
    with DatasetWriter(folder, spec) as writer:
        for seed, (spoil, *_) in enumerate(SPOILT.values()):
            writer.add(spoil(waves(seed + 1)))
    dataset = open_dataset(folder)
    return dataset, find_defects(dataset)


@pytest.mark.parametrize("spoilt", SPOILT)
def test_a_defect_is_found_where_it_is(
    looked: tuple[Dataset, tuple[Defect, ...]], spoilt: str
) -> None:
    dataset, defects = looked
    index, (_, kind, where, (first, last)) = list(SPOILT).index(spoilt), SPOILT[spoilt]
    hit = [d for d in defects if (d.episode, d.kind, d.joint_or_camera) == (index, kind, where)]
    assert hit, [d for d in defects if d.episode == index]
    # A slow arm looks frozen before it is, a ramp reaches its stop after a while.
    assert abs(hit[0].first_step - first) <= 20 and abs(hit[-1].last_step - last) <= 2
    assert {d.uuid for d in hit} == {dataset.episodes[index].uuid}
    assert hit[0].sentence and "\n" not in hit[0].sentence


def test_what_is_whole_has_no_defect(make_dataset: Make) -> None:
    assert find_defects(make_dataset()) == ()


HARMLESS: tuple[Spoil, ...] = (
    # Nobody commanded it.
    lambda e: commands(readings(e, put((slice(0, None), 1), 0.1)), put((slice(0, None), 1), 0.1)),
    # It holds something that is thicker than it is told to close.
    lambda e: readings(e, put((slice(60, None), 2), 0.5)),
    # Closed and open are where a gripper belongs.
    lambda e: readings(commands(e, put((slice(0, None), 2), 0.0)), put((slice(0, None), 2), 0.0)),
    # One picture is shown twice, one step is a little late.
    lambda e: capture(e, lambda v: put(31, v[30])(v)),
    lambda e: times(e, add(slice(60, None), 0.03)),
    # A hand before the lens.
    lambda e: pictures(e, put(slice(40, 48), 5)),
)


def test_what_is_harmless_is_no_defect(make_dataset: Make, waves: Callable[[int], Episode]) -> None:
    episodes = [harmless(waves(seed)) for seed, harmless in enumerate(HARMLESS)]
    assert find_defects(make_dataset(*episodes)) == ()


def test_a_still_picture_of_a_still_arm_is_no_defect(make_dataset: Make, episode: Episode) -> None:
    rest = {
        "proprioception": np.repeat(episode.proprioception[:1], len(episode), axis=0),
        "actions": np.repeat(episode.actions[:1], len(episode), axis=0),
        "images": {name: np.repeat(v[:1], len(v), axis=0) for name, v in episode.images.items()},
    }
    assert find_defects(make_dataset(replace(episode, **rest))) == ()


def spoil_number(root: Path, value: float) -> None:
    table = pq.read_table(root / DATA)
    values = table["action"].combine_chunks().flatten().to_numpy().copy()
    values[3 * 7 + 1] = value
    column = pa.FixedSizeListArray.from_arrays(pa.array(values), 3)
    place = table.column_names.index("action")
    pq.write_table(table.set_column(place, "action", column), root / DATA)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_found_at_its_step(make_dataset: Make, value: float) -> None:
    dataset = make_dataset()
    spoil_number(dataset.root, value)
    found = [d for d in find_defects(open_dataset(dataset.root)) if d.kind == "not a number"]
    assert [(d.episode, d.first_step, d.joint_or_camera) for d in found] == [
        (1, 7, "elbow (action)")
    ]


def test_one_flipped_bit_is_found(make_dataset: Make) -> None:
    root = make_dataset().root
    video = root / FRONT / "file-001.mp4"
    data = bytearray(video.read_bytes())
    data[len(data) // 2] ^= 1
    video.write_bytes(data)
    found = [d for d in find_defects(open_dataset(root)) if d.kind == "damaged file"]
    assert [d.episode for d in found] == [1] and "front" in found[0].sentence


def test_a_video_of_another_length_is_found(
    make_dataset: Make, episode: Episode, spec: RobotSpec, tmp_path: Path
) -> None:
    root = make_dataset().root
    longer = {name: np.concatenate([v, v[:3]]) for name, v in episode.images.items()}
    with DatasetWriter(tmp_path / "longer", spec) as writer:
        writer.add(
            replace(
                episode,
                time=np.arange(123) / 30.0,
                proprioception=np.concatenate([episode.proprioception] * 2)[:123],
                actions=np.concatenate([episode.actions] * 2)[:123],
                images=longer,
                image_times=dict.fromkeys(longer, np.arange(123) / 30.0),
            )
        )
    shutil.copy(tmp_path / "longer" / FRONT / "file-000.mp4", root / FRONT / "file-001.mp4")
    found = [d.sentence for d in find_defects(open_dataset(root)) if d.kind == "wrong length"]
    assert found == ["front has 123 pictures for 120 steps"]


@pytest.mark.parametrize("damage", ["a row too few", "gone"])
def test_an_episode_that_cannot_be_read_is_named(make_dataset: Make, damage: str) -> None:
    root = make_dataset().root
    if damage == "gone":
        (root / DATA).unlink()
    else:
        pq.write_table(pq.read_table(root / DATA).slice(1), root / DATA)
    found = [d for d in find_defects(open_dataset(root)) if d.episode == NO_EPISODE]
    assert len(found) == 1 and "episode 1 " in found[0].sentence


def cut(episode: Episode, first: int = 30) -> Episode:
    return replace(
        episode,
        time=episode.time[first:],
        proprioception=episode.proprioception[first:],
        actions=episode.actions[first:],
        images={name: v[first:] for name, v in episode.images.items()},
        image_times={name: v[first:] for name, v in episode.image_times.items()},
    )


@pytest.mark.parametrize(
    "copy",
    [lambda e: e, cut, lambda e: readings(e, lambda v: v.__imul__(1.0001))],
    ids=["exact", "cut", "stored anew"],
)
def test_a_copy_of_an_episode_is_named_with_the_first(
    make_dataset: Make, waves: Callable[[int], Episode], copy: Spoil
) -> None:
    dataset = make_dataset(waves(1), waves(2), copy(waves(1)))
    found = [d for d in find_defects(dataset) if d.kind == "duplicate"]
    assert [(d.episode, "episode 0" in d.sentence) for d in found] == [(2, True)]


def test_a_camera_that_is_late_in_every_episode_is_found(
    make_dataset: Make, waves: Callable[[int], Episode]
) -> None:
    def late(episode: Episode) -> Episode:
        return cut(pictures(episode, lambda v: put(slice(4, None), v[:-4].copy())(v)), 45)

    # Of 75 steps each, too short to be sure of any one.
    short = [late(waves(seed)) for seed in range(10)]
    found = find_defects(make_dataset(*short))
    assert [(d.episode, d.kind, d.joint_or_camera) for d in found] == [
        (NO_EPISODE, "time skew", "front")
    ]


def test_steps_count_from_the_first_that_is_kept(make_dataset: Make, frozen: Episode) -> None:
    dataset = make_dataset(frozen)
    uuid = dataset.episodes[0].uuid
    edit_episodes(dataset.root, "trim", {uuid: (20, 120)}, author="test")
    found = find_defects(open_dataset(dataset.root))
    assert [(d.kind, d.last_step) for d in found] == [("frozen camera", 39)]
    assert found[0].first_step in (9, 10)  # the arm may have been slow just before
    edit_episodes(dataset.root, "trim", {uuid: (60, 120)}, author="test")
    assert find_defects(open_dataset(dataset.root)) == ()


def test_what_was_found_is_remembered_until_a_file_changes(
    make_dataset: Make, frozen: Episode
) -> None:
    dataset = make_dataset(frozen)
    looks: list[int] = []
    first = find_defects(dataset, on_episode=lambda done, _: looks.append(done))
    assert find_defects(dataset, on_episode=lambda done, _: looks.append(done)) == first
    assert looks == [1]
    video = dataset.root / FRONT / "file-000.mp4"
    video.write_bytes(video.read_bytes() + b"\0\0\0\x08free")
    assert "damaged file" in {d.kind for d in find_defects(dataset)}


def test_looking_changes_nothing_but_the_cache(make_dataset: Make, frozen: Episode) -> None:
    root = make_dataset(frozen).root

    def content() -> dict[str, bytes]:
        files = (path for path in root.rglob("*") if path.is_file())
        return {str(p): p.read_bytes() for p in files if ".cache" not in p.parts}

    before = content()
    find_defects(open_dataset(root))
    assert content() == before
