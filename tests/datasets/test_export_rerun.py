"""A recording for the Rerun viewer, read back by Rerun's own reader, says what the dataset says."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest
from rerun.chunk import RrdReader

from demoloop.datasets import DatasetWriter, Episode, open_dataset
from demoloop.datasets.exporters import export_dataset
from demoloop.robot import RobotSpec

Tables = dict[str, pa.Table]


@pytest.fixture
def original(make_episode: Callable[..., Episode]) -> Episode:
    return replace(make_episode(4, steps=9), events=((1, "pinch"), (5, "let go")))


@pytest.fixture
def tables(tmp_path: Path, spec: RobotSpec, original: Episode) -> Tables:
    """Entity -> its rows, as Rerun reads them."""
    with DatasetWriter(tmp_path / "d", spec) as writer:
        writer.add(original)
    export_dataset(tmp_path / "d", tmp_path / "out", "rerun")
    chunks: dict[str, list[pa.RecordBatch]] = {}
    for chunk in RrdReader(str(tmp_path / "out" / "episode_000000.rrd")).stream():
        chunks.setdefault(chunk.entity_path, []).append(chunk.to_record_batch())
    return {
        path: pa.concat_tables(
            [pa.Table.from_batches([batch]) for batch in batches], promote_options="default"
        )
        for path, batches in chunks.items()
    }


def column(table: pa.Table, name: str) -> list[Any]:
    """Values in the order of the timeline `step`."""
    values = table.sort_by("step")[name].to_pylist()
    return [value[0] for value in values]


def test_ours_to_rrd_keeps_readings_and_actions_to_the_bit(
    tables: Tables, spec: RobotSpec, original: Episode
) -> None:
    for what, names, values in (
        ("action", spec.joint_names, original.actions),
        ("proprioception", spec.proprioception_names, original.proprioception),
    ):
        for number, name in enumerate(names):
            entity = next(path for path in tables if path.replace("\\", "") == f"/{what}/{name}")
            np.testing.assert_array_equal(
                column(tables[entity], "Scalars:scalars"), values[:, number]
            )


@pytest.mark.parametrize("camera", ["front", "wrist"])
def test_each_picture_stands_at_its_step(
    tables: Tables, camera: str, numbers: Callable[[np.ndarray, int], int]
) -> None:
    seen = []
    for blob in column(tables[f"/camera/{camera}"], "EncodedImage:blob"):
        picture = cv2.imdecode(np.frombuffer(bytes(blob), np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        seen.append(numbers(picture, int(camera == "wrist")))
    assert seen == [400 + step for step in range(9)]


def test_the_time_line_counts_seconds_from_the_first_step(
    tables: Tables, original: Episode
) -> None:
    nanoseconds = tables["/action/shoulder"].sort_by("step")["time"].cast(pa.int64()).to_pylist()
    expected = (original.time - original.time[0]) * 1e9
    np.testing.assert_allclose(nanoseconds, expected, atol=1)  # rounded to whole ns


def test_events_stand_at_their_steps(tables: Tables) -> None:
    events = tables["/events"].sort_by("step")
    assert events["step"].to_pylist() == [1, 5]
    assert column(events, "TextLog:text") == ["pinch", "let go"]


def test_a_recording_says_what_it_is_of(tables: Tables, tmp_path: Path) -> None:
    about = json.loads(tables["/episode"]["TextDocument:text"].to_pylist()[0][0])
    assert (about["task"], about["success"], about["seed"]) == ("pick the cube", True, 4)
    assert about["uuid"] == open_dataset(tmp_path / "d").episodes[0].uuid
