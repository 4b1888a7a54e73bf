"""What is broken in a LeRobot dataset costs itself, and the report says why."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from demoloop.datasets import DatasetError, open_dataset
from demoloop.datasets.importers import ImportOptions, ImportReport, import_dataset
from demoloop.robot.video import VideoWriter

_spec = importlib.util.spec_from_file_location(
    "v21_files", Path(__file__).with_name("v21_files.py")
)
assert _spec is not None and _spec.loader is not None
make = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make)


@pytest.fixture
def v21(tmp_path: Path) -> Path:
    return make.write_v21(tmp_path / "v21")


@pytest.fixture
def imported(tmp_path: Path) -> Callable[..., ImportReport]:
    """Imports a folder to `out`."""

    def run(source: Path, **options: Any) -> ImportReport:
        return import_dataset(source, tmp_path / "out", options=ImportOptions(**options))

    return run


def missing_video(root: Path) -> str:
    (root / make.VIDEO.format(episode_chunk=0, video_key=make.TOP, episode_index=1)).unlink()
    return "episode_000001.mp4 is missing"


def short_video(root: Path) -> str:
    path = root / make.VIDEO.format(episode_chunk=0, video_key=make.TOP, episode_index=1)
    path.write_bytes(path.read_bytes()[:-100])
    return "cut short"


def other_size(root: Path) -> str:
    path = root / make.VIDEO.format(episode_chunk=0, video_key=make.TOP, episode_index=1)
    with VideoWriter(path, 30, 16, 16) as writer:
        for _ in range(make.STEPS):
            writer.add(np.zeros((16, 16, 3), np.uint8))
    return "is 16x16, the camera gives 32x48"


def short_data(root: Path) -> str:
    path = root / make.DATA.format(episode_chunk=0, episode_index=1)
    path.write_bytes(path.read_bytes()[:400])
    return "cut short or no parquet"


def nan(root: Path) -> str:
    values = make.column(1, 2)
    values[3, 1] = np.nan
    make.write_data(root, 1, {"observation.state": values, "action": make.column(1, 2)})
    return "'observation.state' is not a number at step 3"


def wider(root: Path) -> str:
    make.write_data(root, 1, {"observation.state": make.column(1, 3), "action": make.column(1, 2)})
    return "3 readings and 2 actions a step"


def ragged(root: Path) -> str:
    rows = [[0.0], [0.0] * 3, [0.0] * 2, [0.0] * 2, [0.0] * 2]
    make.write_data(root, 1, {"observation.state": rows, "action": make.column(1, 2)})
    return "more numbers in one step"


def words(root: Path) -> str:
    make.write_data(
        root, 1, {"observation.state": ["up"] * make.STEPS, "action": make.column(1, 2)}
    )
    return "holds no numbers"


def fewer_rows(root: Path) -> str:
    path = root / "meta/episodes.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[1]["length"] = 6
    path.write_text("\n".join(map(json.dumps, rows)))
    return "the index says 6"


def broken_line(root: Path) -> str:
    path = root / "meta/episodes.jsonl"
    path.write_text(path.read_text().replace('{"episode_index": 1', '{"episode_index": "one'))
    return "the index of episodes is damaged"


@pytest.mark.parametrize(
    "damage",
    [
        *(missing_video, short_video, other_size, short_data, nan, wider, ragged, words),
        *(fewer_rows, broken_line),
    ],
)
def test_a_broken_episode_costs_only_itself_and_the_report_says_why(
    v21: Path,
    tmp_path: Path,
    imported: Callable[..., ImportReport],
    damage: Callable[[Path], str],
) -> None:
    why = damage(v21)
    report = imported(v21)
    assert report.kept == ("episode 0", "episode 2")
    (skipped,) = report.skipped
    assert why in skipped.why and "\n" not in skipped.why
    written = json.loads((tmp_path / "out/demoloop/import.json").read_text())
    assert written["skipped"] == [{"name": skipped.name, "why": skipped.why}]
    assert [entry["name"] for entry in written["kept"]] == ["episode 0", "episode 2"]


def empty_meta(root: Path) -> None:
    (root / "meta/info.json").unlink()


def no_action(root: Path) -> None:
    make.edit_info(root, lambda info: info["features"].pop("action"))


def half_a_rate(root: Path) -> None:
    make.edit_info(root, lambda info: info.update(fps=29.97))


def absurd_rate(root: Path) -> None:
    make.edit_info(root, lambda info: info.update(fps=10**400))


def old(root: Path) -> None:
    make.edit_info(root, lambda info: info.update(codebase_version="v1.6"))


def nothing_there(root: Path) -> None:
    for path in root.rglob("*.parquet"):
        path.unlink()


@pytest.mark.parametrize(
    "damage", [empty_meta, no_action, half_a_rate, absurd_rate, old, nothing_there]
)
def test_what_cannot_be_imported_at_all_is_one_sentence_and_leaves_nothing(
    v21: Path,
    tmp_path: Path,
    imported: Callable[..., ImportReport],
    damage: Callable[[Path], None],
) -> None:
    damage(v21)
    with pytest.raises(DatasetError) as caught:
        imported(v21)
    assert str(v21) in str(caught.value) and "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [v21]


def test_a_rate_that_is_no_whole_number_is_counted_as_told(
    v21: Path, tmp_path: Path, imported: Callable[..., ImportReport]
) -> None:
    half_a_rate(v21)
    imported(v21, fps=30)
    dataset = open_dataset(tmp_path / "out")
    assert dataset.fps == 30
    np.testing.assert_allclose(dataset.lowdim(0).time, np.arange(make.STEPS) / 30, atol=1e-6)


def test_the_source_is_not_touched(v21: Path, imported: Callable[..., ImportReport]) -> None:
    def state() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in v21.rglob("*") if path.is_file()}

    before = state()
    imported(v21)
    assert state() == before
