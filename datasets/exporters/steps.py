"""The numbers of an episode as a dataset shows it, without its pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from demoloop.datasets import lerobot_layout as layout
from demoloop.datasets.lerobot_read import Dataset
from demoloop.datasets.step_log import Steps
from demoloop.robot import RobotSpec


def spec_of(dataset: Dataset) -> RobotSpec:
    """Returns the spec with the readings that are in the data; others have what they have."""
    names = dataset.proprioception_names
    spec = dataset.spec
    return spec if spec.proprioception_names == names else replace(spec, readings=names)


def steps_of(dataset: Dataset, i: int) -> Steps:
    """Returns the kept steps of episode i."""
    info, lowdim, table = dataset.episodes[i], dataset.lowdim(i), dataset.rows(i)
    steps = len(lowdim.actions)

    def column(name: str, default: NDArray[Any]) -> NDArray[Any]:
        return table[name].to_numpy() if name in table.column_names else default

    events = column(layout.EVENT, np.full(steps, ""))
    return Steps(
        spec=spec_of(dataset),
        uuid=info.uuid,
        task=info.task,
        seed=info.seed,
        time=lowdim.time,
        proprioception=lowdim.proprioception,
        actions=lowdim.actions,
        image_times={
            camera: column(layout.CAMERA_TIME + camera, lowdim.time).astype(np.float64)
            for camera in dataset.spec.camera_names
        },
        pictures={},
        is_takeover=column(layout.TAKEOVER, np.zeros(steps, np.bool_)).astype(np.bool_),
        events=tuple((step, str(what)) for step, what in enumerate(events) if what),
        goal=None if lowdim.goal is None else lowdim.goal[0],
    )
