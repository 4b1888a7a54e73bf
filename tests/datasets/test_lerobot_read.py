"""What others wrote reads back as they meant it, and what is broken is said in a sentence."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from demoloop.datasets import DatasetError, Episode, open_dataset


def bar_bits(picture: np.ndarray, rows: slice, channel: int) -> int:
    """Reads 12 vertical bars of 8 px as a number."""
    levels = picture[rows, :, channel].reshape(-1, 12, 8).mean(axis=(0, 2))
    return int(((levels > 127) << np.arange(12)).sum())


@pytest.mark.parametrize(("camera", "number"), [("front", 0), ("wrist", 1)])
def test_every_frame_lerobot_wrote_is_found_at_its_step(
    lerobot_sample: Path, camera: str, number: int
) -> None:
    dataset = open_dataset(lerobot_sample)
    found = [
        (bar_bits(frame, slice(8, 40), 1), bar_bits(frame, slice(56, 88), 0))
        for i in range(3)
        for frame in dataset.frames(i, camera)
    ]
    assert found == [(t, 2 * i + number) for i, T in enumerate((45, 60, 30)) for t in range(T)]


def test_numbers_lerobot_wrote_are_read_exactly(lerobot_sample: Path) -> None:
    lowdim = open_dataset(lerobot_sample).lowdim(1)
    state = np.sin(np.arange(6) + 0.1 * np.arange(60)[:, None] + 1)
    np.testing.assert_allclose(lowdim.proprioception, state, atol=1e-6)  # float32 rounding
    np.testing.assert_allclose(lowdim.actions, state + 0.01, atol=1e-6)


def test_absent_episodes_give_one_sentence_each(g1: Path) -> None:
    dataset = open_dataset(g1)
    assert [episode.index for episode in dataset.episodes] == [1, 2]
    named = [sentence for sentence in dataset.missing if sentence.startswith("episode ")]
    assert len(named) == len(set(named)) == 98
    assert all("\n" not in s and "is missing" in s for s in dataset.missing)


def test_a_foreign_robot_gets_a_spec_around_what_was_seen(g1: Path) -> None:
    dataset = open_dataset(g1)
    actions = np.concatenate([dataset.lowdim(i).actions for i in range(2)])
    assert dataset.spec.joint_names[0] == "kLeftShoulderPitch"
    assert dataset.spec.action_dim == len(dataset.proprioception_names) == 26
    assert (dataset.spec.low < actions.min(axis=0)).all()
    assert (dataset.spec.high > actions.max(axis=0)).all()


def test_frames_of_a_real_robot_video_decode_to_the_last(g1: Path) -> None:
    frames = list(open_dataset(g1).frames(1, "cam_high"))
    assert len(frames) == 343 and frames[-1].shape == (480, 640, 3)


def break_info(root: Path) -> Path:
    path = root / "meta/info.json"
    path.write_text(path.read_text()[:300])
    return path


def empty_meta(root: Path) -> Path:
    shutil.rmtree(root / "meta")
    (root / "meta").mkdir()
    return root


def drop_key(root: Path) -> Path:
    return edit_info(root, lambda info: info.pop("features"))


def wrong_template(root: Path) -> Path:
    return edit_info(root, lambda info: info.update(data_path="data/{chunk}/{number}.parquet"))


def template_of_v21(root: Path) -> Path:
    return edit_info(
        root, lambda info: info.update(data_path="data/episode_{episode_index:06d}.parquet")
    )


def template_out_of_the_dataset(root: Path) -> Path:
    return edit_info(root, lambda info: info.update(data_path="../{chunk_index}/{file_index}"))


def pictures_in_data_files(root: Path) -> Path:
    return edit_info(
        root, lambda info: info["features"]["observation.images.front"].update(dtype="image")
    )


def flat_camera(root: Path) -> Path:
    return edit_info(
        root, lambda info: info["features"]["observation.images.front"].update(shape=[4608])
    )


def words_in_the_index(root: Path) -> Path:
    change_column(root / "meta/episodes/chunk-000/file-000.parquet", "length", ["x"] * 3)
    return root


def newer_schema(root: Path) -> Path:
    return edit_info(root, lambda info: info["demoloop"].update(schema=99))


def old_layout(root: Path) -> Path:
    edit_info(root, lambda info: info.update(codebase_version="v1.6"))
    return root


def wrong_type(root: Path) -> Path:
    return edit_info(root, lambda info: info.update(fps="fast"))


def not_an_object(root: Path) -> Path:
    (root / "meta/info.json").write_text("[1, 2]")
    return root / "meta/info.json"


def no_action(root: Path) -> Path:
    return edit_info(root, lambda info: info["features"].pop("action"))


def no_index(root: Path) -> Path:
    shutil.rmtree(root / "meta/episodes")
    return root


def broken_index(root: Path) -> Path:
    path = root / "meta/episodes/chunk-000/file-000.parquet"
    path.write_bytes(path.read_bytes()[:1000])
    return path


def nothing_left(root: Path) -> Path:
    shutil.rmtree(root / "data")
    return root


def change_column(path: Path, name: str, values: Sequence[object] | None) -> None:
    """Replaces a column of a parquet file, or takes it away."""
    table = pq.read_table(path)
    table = table.drop_columns([name])
    if values is not None:
        table = table.append_column(name, pa.array(values))
    pq.write_table(table, path)


def edit_info(root: Path, edit: Callable[[dict], object]) -> Path:
    path = root / "meta/info.json"
    info = json.loads(path.read_text())
    edit(info)
    path.write_text(json.dumps(info))
    return path


@pytest.mark.parametrize(
    "damage",
    [
        break_info,
        empty_meta,
        drop_key,
        wrong_template,
        template_of_v21,
        template_out_of_the_dataset,
        pictures_in_data_files,
        flat_camera,
        words_in_the_index,
        newer_schema,
        old_layout,
        wrong_type,
        not_an_object,
        no_action,
        no_index,
        broken_index,
        nothing_left,
    ],
)
def test_a_broken_dataset_is_refused_in_one_sentence_that_names_it(
    root: Path, damage: Callable[[Path], Path]
) -> None:
    named = damage(root)
    with pytest.raises(DatasetError) as caught:
        open_dataset(root)
    assert str(named) in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such folder"):
        open_dataset(tmp_path / "nowhere")


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.99])
@pytest.mark.parametrize(
    "file",
    [
        "data/chunk-000/file-001.parquet",
        "videos/observation.images.wrist/chunk-000/file-001.mp4",
    ],
)
def test_a_file_cut_short_costs_only_its_episode(root: Path, file: str, share: float) -> None:
    path = root / file
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    dataset = open_dataset(root)
    assert [episode.index for episode in dataset.episodes] == [0, 2]
    assert len(dataset.missing) == 1 and "file-001" in dataset.missing[0]


def test_a_row_too_few_is_noticed(root: Path) -> None:
    path = root / "data/chunk-000/file-001.parquet"
    pq.write_table(pq.read_table(path).slice(1), path)
    dataset = open_dataset(root)
    assert "holds 5 rows of episode 1, the index says 6" in dataset.missing[0]


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("action", ["up"] * 6),
        ("action", None),
        ("demoloop.time", ["noon"] * 6),
        ("timestamp", None),
        ("episode_index", None),
    ],
)
def test_a_column_that_cannot_be_used_costs_only_its_episode(
    root: Path, column: str, values: list[object] | None
) -> None:
    change_column(root / "data/chunk-000/file-001.parquet", column, values)
    dataset = open_dataset(root)
    assert [episode.index for episode in dataset.episodes] == [0, 2]
    assert column in dataset.missing[0] and "\n" not in dataset.missing[0]


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("action", [[0.0]] * 6),  # two joints are named
        ("observation.state", [[float("nan")] * 4] * 6),
        ("episode_index", [7] * 6),
    ],
)
def test_damage_that_only_the_rows_show_is_said_when_they_are_read(
    root: Path, column: str, values: list[object]
) -> None:
    change_column(root / "data/chunk-000/file-001.parquet", column, values)
    dataset = open_dataset(root)
    assert dataset.lowdim(0) and dataset.lowdim(2)
    with pytest.raises(DatasetError) as caught:
        dataset.lowdim(1)
    assert "episode 1 of" in str(caught.value) and "\n" not in str(caught.value)
    assert f"demoloop dataset drop {root} 1" in str(caught.value)


def test_opening_reads_no_row_and_no_picture(root: Path) -> None:
    for path in root.glob("data/*/*.parquet"):
        with path.open("r+b") as file:
            file.write(bytes(200))  # where the rows are; the footer is at the end
    for path in root.glob("videos/*/*/*.mp4"):
        inside = path.read_bytes()
        start = inside.index(b"mdat") + 4
        path.write_bytes(inside[:start] + bytes(100) + inside[start + 100 :])
    dataset = open_dataset(root)
    assert len(dataset.episodes) == 3 and not dataset.missing and dataset.view_hash()
    with pytest.raises(DatasetError, match="episode 0 of"):
        dataset.lowdim(0)


def make_v21(root: Path, chunks_size: int) -> None:
    """Writes a v2.1 dataset of three episodes, four steps each, without video."""
    (root / "meta").mkdir(parents=True)
    info = {
        "codebase_version": "v2.1",
        "fps": 30,
        "total_episodes": 3,
        "chunks_size": chunks_size,
        "data_path": "data/{episode_chunk:03d}/{episode_index:06d}.parquet",
        "video_path": "videos/{episode_chunk:03d}/{video_key}/{episode_index:06d}.mp4",
        "features": {
            "observation.state": {"dtype": "float32", "shape": [1], "names": [["hip"]]},
            "action": {"dtype": "float32", "shape": [1], "names": {"motors": ["hip"]}},
        },
    }
    (root / "meta/info.json").write_text(json.dumps(info))
    rows = [{"episode_index": e, "length": 4, "tasks": [f"task {e}"]} for e in range(3)]
    (root / "meta/episodes.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for e in range(3):
        path = root / info["data_path"].format(episode_chunk=e // chunks_size, episode_index=e)
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = {"observation.state": [[float(e)]] * 4, "action": [[float(e)]] * 4}
        steps = {"timestamp": [t / 30 for t in range(4)], "episode_index": [e] * 4}
        pq.write_table(pa.table({**columns, **steps}), path)


def test_v21_folders_hold_as_many_episodes_as_info_says(tmp_path: Path) -> None:
    make_v21(tmp_path / "d", chunks_size=2)
    dataset = open_dataset(tmp_path / "d")
    assert [float(dataset.lowdim(i).actions[0, 0]) for i in range(3)] == [0.0, 1.0, 2.0]
    assert [episode.task for episode in dataset.episodes] == ["task 0", "task 1", "task 2"]


def test_names_in_a_list_or_an_object_are_read(tmp_path: Path) -> None:
    make_v21(tmp_path / "d", chunks_size=1000)
    dataset = open_dataset(tmp_path / "d")
    assert dataset.spec.joint_names == ("hip",)
    assert dataset.proprioception_names == ("hip.pos",)


def test_a_camera_of_others_may_say_its_channels_first(
    lerobot_sample: Path, tmp_path: Path
) -> None:
    shutil.copytree(lerobot_sample, tmp_path / "d")
    camera = {"shape": [3, 96, 128], "names": ["channels", "height", "width"]}
    edit_info(
        tmp_path / "d", lambda info: info["features"]["observation.images.front"].update(camera)
    )
    front = open_dataset(tmp_path / "d").spec.cameras[0]
    assert (front.height, front.width) == (96, 128)


def test_several_episodes_in_one_data_file_are_told_apart(
    root: Path, make_episode: Callable[..., Episode]
) -> None:
    index = root / "meta/episodes/chunk-000/file-000.parquet"
    files = [root / f"data/chunk-000/file-00{i}.parquet" for i in range(3)]
    pq.write_table(pa.concat_tables([pq.read_table(file) for file in files]), files[0])
    rows = pq.read_table(index)
    column = rows.column_names.index("data/file_index")
    pq.write_table(rows.set_column(column, "data/file_index", pa.array([0, 0, 0])), index)
    for file in files[1:]:
        file.unlink()
    np.testing.assert_array_equal(open_dataset(root).lowdim(2).actions, make_episode(3, 7).actions)


def test_an_unknown_camera_lists_the_cameras(root: Path) -> None:
    with pytest.raises(DatasetError, match="no camera 'top'; it has front, wrist"):
        next(open_dataset(root).frames(0, "top"))


def test_view_hash_is_the_same_in_another_folder(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "copy")
    assert open_dataset(root).view_hash() == open_dataset(tmp_path / "copy").view_hash()


def test_view_hash_changes_when_an_episode_is_absent(root: Path) -> None:
    before = open_dataset(root).view_hash()
    (root / "data/chunk-000/file-002.parquet").unlink()
    assert open_dataset(root).view_hash() != before
