"""How many defects `demoloop dataset check` finds, of which size, and how often it cries wolf.

Takes clean datasets (recorded in simulation, or any with --data), says what is found in them, then
spoils a copy of the first one's episodes in each way and at each strength, through the writer and
so through the video codec, and says in how many episodes it was found.

    MUJOCO_GL=egl python benchmarks/check.py [--episodes 20] [--data clean_dataset ...]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from demoloop.cli.record import Options, record_expert
from demoloop.datasets import Dataset, DatasetWriter, Episode, open_dataset
from demoloop.datasets import lerobot_layout as layout
from demoloop.datasets.check import NO_EPISODE, find_defects
from demoloop.robot import RobotSpec

Spoil = Callable[[Episode, float, RobotSpec], Episode]
CAMERA = "front"


def steps_of(seconds: float, spec: RobotSpec) -> int:
    """Returns the whole number of steps nearest to a duration."""
    return round(seconds * spec.control_hz)


def busiest(values: NDArray[np.float32], length: int) -> tuple[int, int]:
    """Returns (column, first step) of the window in which a column travels furthest."""
    windows = np.lib.stride_tricks.sliding_window_view(values, min(length, len(values)), axis=0)
    column, first = divmod(int(np.ptp(windows, axis=-1).T.argmax()), len(windows))
    return column, first


def dead_joint(episode: Episode, seconds: float, spec: RobotSpec) -> Episode:
    """The busiest joint stays where it is for so long."""
    length = steps_of(seconds, spec)
    joint, first = busiest(episode.actions[:, :-1], length)
    readings = episode.proprioception.copy()
    readings[first : first + length, joint] = readings[first, joint]
    return replace(episode, proprioception=readings)


def dead_gripper(episode: Episode, share: float, spec: RobotSpec) -> Episode:
    """The jaw stays where it is for the last share of the episode."""
    readings = episode.proprioception.copy()
    first = round((1 - share) * len(episode))
    readings[first:, spec.action_dim - 1] = readings[first, spec.action_dim - 1]
    return replace(episode, proprioception=readings)


def frozen(episode: Episode, seconds: float, spec: RobotSpec) -> Episode:
    """The same picture again and again while the arm is busiest."""
    length = steps_of(seconds, spec)
    _, first = busiest(episode.proprioception[:, : spec.action_dim - 1], length)
    pictures = episode.images[CAMERA].copy()
    pictures[first : first + length] = pictures[first]
    return replace(episode, images={**episode.images, CAMERA: pictures})


def no_new_picture(episode: Episode, seconds: float, spec: RobotSpec) -> Episode:
    """The same capture time again and again."""
    length = steps_of(seconds, spec)
    times = episode.image_times[CAMERA].copy()
    times[10 : 10 + length] = times[9]
    return replace(episode, image_times={**episode.image_times, CAMERA: times})


def lit(episode: Episode, gain: float, spec: RobotSpec) -> Episode:
    """Below 1 the pictures get darker, above brighter, for 0.7 s."""
    pictures = episode.images[CAMERA].copy()
    part = pictures[10 : 10 + steps_of(0.7, spec)].astype(np.float32)
    pictures[10 : 10 + len(part)] = np.clip(part * gain, 0, 255).astype(np.uint8)
    return replace(episode, images={**episode.images, CAMERA: pictures})


def held(episode: Episode, steps: int, spec: RobotSpec) -> Episode:
    """Adds a rest at the end."""
    extra = np.arange(1, steps + 1) / spec.control_hz

    def rest(values: NDArray[np.generic]) -> NDArray[np.generic]:
        return np.concatenate([values, np.repeat(values[-1:], steps, axis=0)])

    return replace(
        episode,
        time=np.concatenate([episode.time, episode.time[-1] + extra]),
        proprioception=rest(episode.proprioception),
        actions=rest(episode.actions),
        images={name: rest(values) for name, values in episode.images.items()},
        image_times={
            name: np.concatenate([values, values[-1] + extra])
            for name, values in episode.image_times.items()
        },
        is_takeover=None,
        events=(),
    )


def saturated(episode: Episode, seconds: float, spec: RobotSpec) -> Episode:
    """Ends with a joint at its limit."""
    length = steps_of(seconds, spec)
    episode = held(episode, length, spec)
    actions, readings = episode.actions.copy(), episode.proprioception.copy()
    actions[-length:, 0] = readings[-length:, 0] = spec.high[0]
    return replace(episode, actions=actions, proprioception=readings)


def late_pictures(episode: Episode, seconds: float, spec: RobotSpec) -> Episode:
    """Pictures that were taken so long before the joints were read."""
    times = {**episode.image_times, CAMERA: episode.image_times[CAMERA] - seconds}
    return replace(episode, image_times=times)


def shifted(episode: Episode, steps: float, spec: RobotSpec) -> Episode:
    """Pictures that are older than their times say."""
    at = np.maximum(np.arange(len(episode)) - round(steps), 0)
    return replace(episode, images={**episode.images, CAMERA: episode.images[CAMERA][at]})


def jump(episode: Episode, far: float, spec: RobotSpec) -> Episode:
    """All later readings of a joint are off."""
    readings = episode.proprioception.copy()
    readings[len(episode) // 2 :, 1] += far
    return replace(episode, proprioception=readings)


def spike(episode: Episode, far: float, spec: RobotSpec) -> Episode:
    """One reading of a joint is off."""
    readings = episode.proprioception.copy()
    readings[len(episode) // 2, 1] += far
    return replace(episode, proprioception=readings)


def command_jump(episode: Episode, far: float, spec: RobotSpec) -> Episode:
    """Three commands of a joint are off."""
    actions = episode.actions.copy()
    half = len(episode) // 2
    side = -1 if actions[half, 0] > 0 else 1
    actions[half : half + 3, 0] += side * far
    return replace(episode, actions=actions)


def late_step(episode: Episode, seconds: float, spec: RobotSpec) -> Episode:
    """One step in the middle takes so much longer."""
    delay = np.where(np.arange(len(episode)) >= len(episode) // 2, seconds, 0.0)
    times = {name: values + delay for name, values in episode.image_times.items()}
    return replace(episode, time=episode.time + delay, image_times=times)


def slow_clock(episode: Episode, share: float, spec: RobotSpec) -> Episode:
    """Every step takes so much longer."""
    times = {name: values * (1 + share) for name, values in episode.image_times.items()}
    return replace(episode, time=episode.time * (1 + share), image_times=times)


def doubled(episode: Episode, noise: float, spec: RobotSpec) -> Episode:
    """The same again, with noise in the readings."""
    rng = np.random.default_rng(0)
    drawn = rng.uniform(-noise, noise, episode.proprioception.shape).astype(np.float32)
    return replace(episode, proprioception=episode.proprioception + drawn)


def cut(episode: Episode, share: float, spec: RobotSpec) -> Episode:
    """The same again without its beginning."""
    kept = slice(round(share * len(episode)), None)
    return replace(
        episode,
        time=episode.time[kept],
        proprioception=episode.proprioception[kept],
        actions=episode.actions[kept],
        images={name: values[kept] for name, values in episode.images.items()},
        image_times={name: values[kept] for name, values in episode.image_times.items()},
        is_takeover=None,
        events=(),
    )


SPOILS: tuple[tuple[str, str, Spoil, tuple[float, ...]], ...] = (
    ("dead joint", "for [s]", dead_joint, (0.5, 0.7, 0.9, 1.2)),
    ("dead joint", "gripper, last share", dead_gripper, (0.5, 1.0)),
    ("frozen camera", "pictures, for [s]", frozen, (0.3, 0.5, 0.7, 1.0)),
    ("frozen camera", "capture times, for [s]", no_new_picture, (0.4, 0.6, 1.0)),
    ("drops", "capture times, for [s]", no_new_picture, (0.04, 0.08, 0.12, 0.2)),
    ("dark camera", "gain", lit, (0.2, 0.1, 0.05, 0.0)),
    ("blown-out camera", "gain", lit, (1.5, 3.0, 10.0)),
    ("saturation", "for [s]", saturated, (1.5, 2.4, 2.6, 4.0)),
    ("time skew", "capture times by [s]", late_pictures, (-0.1, -0.06, 0.08, 0.14, 0.3)),
    ("time skew", "pictures by [steps]", shifted, (2, 3, 4, 6, 9, 14)),
    ("jump", "reading by [rad]", jump, (0.1, 0.2, 0.25, 0.3, 0.5)),
    ("jump", "one reading by [rad]", spike, (0.05, 0.08, 0.11, 0.15, 0.3)),
    ("jump", "command by [rad]", command_jump, (0.5, 0.9, 1.1, 1.5)),
    ("late step", "by [s]", late_step, (0.05, 0.09, 0.15)),
    ("wrong rate", "share", slow_clock, (0.05, 0.12, 0.5)),
    ("clock", "back by [s]", late_step, (-0.02, -0.05)),
    ("duplicate", "noise [rad]", doubled, (0.0, 1e-3, 3e-3, 1e-2)),
    ("duplicate", "cut off, share", cut, (0.25, 0.4, 0.6)),
)


def spoil_files(root: Path) -> Iterator[tuple[str, str]]:
    """Spoils what the writer would refuse, one way after the other; yields kind and way."""
    data = layout.data_file(root, 0)
    table = pq.read_table(data)
    for length in (1, 5):
        values = table["action"].combine_chunks().flatten().to_numpy().copy()
        values[: length * 6 : 6] = np.nan
        column = pa.FixedSizeListArray.from_arrays(pa.array(values), 6)
        place = table.column_names.index("action")
        pq.write_table(table.set_column(place, "action", column), data)
        yield "not a number", f"{length} steps"
    pq.write_table(table.slice(1), data)
    yield "unreadable", "one row short"
    pq.write_table(table, data)
    video, other = layout.video_file(root, CAMERA, 0), layout.video_file(root, CAMERA, 1)
    whole = video.read_bytes()
    spoilt = bytearray(whole)
    spoilt[len(whole) // 2] ^= 1
    video.write_bytes(spoilt)
    yield "damaged file", "one bit"
    video.write_bytes(other.read_bytes())
    yield "damaged file", "video of another episode"


def clean(dataset: Dataset) -> None:
    """Prints what is found where nothing is wrong."""
    start, cpu = time.perf_counter(), time.process_time()
    found = find_defects(dataset, again=True)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    thousands = dataset.num_frames * len(dataset.spec.cameras) / 1000
    print(
        f"{dataset.root.name}: {len(found)} defects in {len(dataset.episodes)} episodes "
        f"{dict(Counter(defect.kind for defect in found))}; {seconds / thousands:.2f} s and "
        f"{cpu / thousands:.2f} CPU-s per 1,000 frames"
    )


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--data", type=Path, nargs="*", default=[])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        roots = options.data or [Path(folder) / "plain", Path(folder) / "randomized"]
        if not options.data:
            record_expert(Options(roots[0], episodes=options.episodes, disturbance=False))
            record_expert(Options(roots[1], episodes=options.episodes, randomize=True))
        for root in roots:
            clean(open_dataset(root))
        source = open_dataset(roots[0])
        count = min(options.episodes, len(source.episodes))
        episodes = [source.episode(i) for i in range(count)]
        print(f"{'defect':<17} {'what':<26} {'size':>6}  found in episodes")
        for number, (kind, what, spoil, sizes) in enumerate(SPOILS):
            for size in sizes:
                root = Path(folder) / f"spoilt-{number}-{size}"
                with DatasetWriter(root, source.spec) as writer:
                    if kind == "duplicate":
                        writer.add(episodes[0])
                    for episode in episodes[:1] if kind == "duplicate" else episodes:
                        writer.add(spoil(episode, size, source.spec))
                defects = find_defects(open_dataset(root))
                wanted = 1 if kind == "duplicate" else count
                hit = {defect.episode for defect in defects if defect.kind == kind}
                others = Counter(defect.kind for defect in defects if defect.kind != kind)
                pooled = "and all together" if NO_EPISODE in hit else ""
                hit -= {NO_EPISODE}
                print(
                    f"{kind:<17} {what:<26} {size:>6g}  {len(hit)}/{wanted}",
                    pooled,
                    dict(others) or "",
                )
        root = Path(folder) / "files"
        with DatasetWriter(root, source.spec) as writer:
            for episode in episodes[:2]:
                writer.add(episode)
        for kind, what in spoil_files(root):
            found = {defect.kind for defect in find_defects(open_dataset(root), again=True)}
            print(f"{kind:<17} {what:<26} {'':>6}  {int(kind in found)}/1", found - {kind} or "")


if __name__ == "__main__":
    main()
