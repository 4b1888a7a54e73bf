"""robomimic's HDF5: /data/demo_i with actions, obs, next_obs, rewards and dones; /mask/<split>.

An episode that succeeded has reward 1 in its last step. Actions are joint targets in their units,
which robomimic's training wants normalised. What robomimic has no place for (spec, task, seed,
capture times, events) stands in attributes and groups called demoloop. The pictures of next_obs
are a view of those of obs and take no room.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from demoloop.datasets.exporters.steps import spec_of, steps_of
from demoloop.datasets.lerobot_read import Dataset
from demoloop.datasets.step_log import Steps

if TYPE_CHECKING:
    import h5py

OURS = "demoloop"
"""Group of a demonstration, and attribute of it and of /data, for what robomimic does not know."""
GYM = 2  # robomimic's EnvType.GYM_TYPE: what is no robosuite
PROPRIOCEPTION = "proprioception"


def export(dataset: Dataset, out: Path, progress: bool) -> None:
    """Writes the dataset to the new file `out`."""
    import h5py

    spec = spec_of(dataset)
    words = {"control_freq": dataset.fps}
    environment = {"env_name": spec.name, "type": GYM, "env_type": GYM, "env_kwargs": words}
    splits: dict[str, list[bytes]] = {}
    with h5py.File(out, "w") as file:
        data = file.create_group("data")
        data.attrs["total"] = dataset.num_frames
        data.attrs["env_args"] = json.dumps(environment)
        data.attrs[OURS] = json.dumps(spec.to_json())
        episodes = tqdm(dataset.episodes, "export robomimic", unit="episode", disable=not progress)
        for i, info in enumerate(episodes):
            steps = steps_of(dataset, i)
            demo = data.create_group(f"demo_{i}")
            _write_numbers(demo, steps, is_success=info.success is True)
            _write_noted(demo, steps, info.success)
            for camera in spec.cameras:
                shape = (len(steps), camera.height, camera.width, 3)
                # Renders and camera noise shrink by a tenth at best: not worth the time.
                name = f"{camera.name}_image"
                pictures = demo.create_dataset(
                    f"obs/{name}", shape, np.uint8, chunks=(1, *shape[1:])
                )
                for step, picture in enumerate(dataset.frames(i, camera.name)):
                    pictures[step] = picture
                _write_next(demo, name, shape)
            if info.split:
                splits.setdefault(info.split, []).append(f"demo_{i}".encode())
        for split, demos in splits.items():
            file[f"mask/{split}"] = np.array(demos)


def _write_numbers(demo: h5py.Group, steps: Steps, *, is_success: bool) -> None:
    count = len(steps)
    last = np.arange(count) == count - 1
    demo.attrs["num_samples"] = count
    demo["actions"] = steps.actions
    demo["rewards"] = (last & is_success).astype(np.float32)
    demo["dones"] = last.astype(np.int64)
    demo[f"obs/{PROPRIOCEPTION}"] = steps.proprioception
    demo[f"next_obs/{PROPRIOCEPTION}"] = steps.proprioception[_next(count)]


def _write_noted(demo: h5py.Group, steps: Steps, success: bool | None) -> None:
    demo.attrs[OURS] = json.dumps(
        {
            "task": steps.task,
            "success": success,
            "seed": steps.seed,
            "uuid": steps.uuid,
            "events": steps.events,
        }
    )
    demo[f"{OURS}/time"] = steps.time
    demo[f"{OURS}/takeover"] = steps.is_takeover
    for camera, times in steps.image_times.items():
        demo[f"{OURS}/camera_time/{camera}"] = times


def _write_next(demo: h5py.Group, name: str, shape: tuple[int, ...]) -> None:
    """Shows each picture one step earlier, the last one twice."""
    import h5py

    source = h5py.VirtualSource(".", f"{demo.name}/obs/{name}", shape, np.uint8)
    view = h5py.VirtualLayout(shape, np.uint8)
    if shape[0] > 1:
        view[:-1] = source[1:]
    view[-1:] = source[-1:]
    demo.create_virtual_dataset(f"next_obs/{name}", view)


def _next(count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.minimum(np.arange(1, count + 1), count - 1)
