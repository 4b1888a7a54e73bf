"""Builds training cache and statistics on a cluster that runs Ray already.

    python -m demoloop.datasets.scale.ray_job ROOT --size 96 96

The folder of the dataset, or that of the cache, must be mounted at the same place on all nodes.
Rows are allotted before the work is handed out, each worker writes its episodes where the cache of
one machine would have them, and an episode is listed when its worker is done with it: the files
are the same to the byte, and a job that was killed goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from pathlib import Path

import numpy as np
from tqdm import tqdm

from demoloop.datasets import lerobot_layout as names
from demoloop.datasets.cache import layout_of, map_view, open_store, plan, segments
from demoloop.datasets.cache_build import Layout, Missing, write_episode
from demoloop.datasets.cache_store import CacheStore, Segment
from demoloop.datasets.durable import replace_file, sync
from demoloop.datasets.errors import DatasetError
from demoloop.datasets.lerobot_read import Dataset, open_dataset
from demoloop.datasets.stats import (
    FeatureStats,
    ImageStats,
    NestedStats,
    from_lerobot,
    to_lerobot,
)
from demoloop.robot import DemoloopError


def build_on_cluster(
    root: Path, image_size: tuple[int, int], folder: Path | None = None, progress: bool = True
) -> dict[str, NestedStats]:
    """Builds the cache, as `open_cache` does, and returns the statistics of the view.

    `ray.init` has been called. The statistics also go to `stats_<view>.json` beside the cache.

    Args:
        root: Folder of the dataset, the same on all nodes.
        image_size: (height, width) [px] of the pictures in the cache.
        folder: Where the cache goes, the same on all nodes; see `open_cache`.
        progress: Whether to show a progress bar.

    Raises:
        DatasetError: The disk is too small or an episode cannot be read.
    """
    dataset = open_dataset(root)
    layout = layout_of(dataset, image_size)
    store = open_store(dataset, layout, folder)
    parts: dict[int, Mapping[str, NestedStats]] = {}
    with store.locked():
        missing = {one.episode: one for one in plan(dataset, layout, store)}
        work = []
        for i, segment in enumerate(segments(dataset)):
            row = missing[i].row if i in missing else store.find(segment)
            work.append({"episode": i, "row": row, "is_missing": i in missing})
        with tqdm(total=len(work), unit="episode", disable=not progress) as bar:
            for episode, stats in _on_workers(work, root, image_size, folder):
                if (one := missing.get(episode)) is not None:
                    store.commit([(one.segment, one.row)])
                parts[episode] = stats
                bar.update()
        map_view(dataset, layout, store)  # notes that the view is used
    total = merge([parts[episode] for episode in sorted(parts)])
    path = store.folder.with_name(f"stats_{dataset.view_hash()}.json")

    def write(temporary: Path) -> None:
        temporary.write_text(json.dumps(total, indent=1), encoding="utf-8")

    replace_file(path, write)
    return total


def episode_stats(
    dataset: Dataset, layout: Layout, store: CacheStore, episode: int, row: int
) -> dict[str, NestedStats]:
    """Returns the statistics of an episode that is in the store from `row` on."""
    lowdim = dataset.lowdim(episode)
    stats = {
        names.STATE: to_lerobot(FeatureStats.of(lowdim.proprioception), is_image=False),
        names.ACTION: to_lerobot(FeatureStats.of(lowdim.actions), is_image=False),
    }
    height, width = layout.image_size
    for camera in layout.cameras:
        pictures = np.memmap(
            store.path(layout.image_file(camera)),
            np.uint8,
            "r",
            offset=row * 3 * height * width,
            shape=(len(lowdim.actions), height, width, 3),
        )
        seen = ImageStats()
        for picture in pictures:
            seen.add(picture)
        stats[names.IMAGES + camera] = to_lerobot(seen.stats(), is_image=True)
    return stats


def merge(parts: Sequence[Mapping[str, NestedStats]]) -> dict[str, NestedStats]:
    """Returns the statistics of all episodes; their order decides the last bit."""
    return {
        name: to_lerobot(
            reduce(FeatureStats.merge, (from_lerobot(part[name]) for part in parts)),
            is_image=name.startswith(names.IMAGES),
        )
        for name in parts[0]
    }


def _on_workers(
    work: list[dict[str, int | None]], root: Path, image_size: tuple[int, int], folder: Path | None
) -> Iterator[tuple[int, dict[str, NestedStats]]]:
    """Yields episode and statistics as they come in."""
    import ray.data

    def run(item: dict[str, int]) -> dict[str, object]:
        return _work(item, root, image_size, folder)

    ray.data.DataContext.get_current().enable_progress_bars = False
    # One block per episode: they are long, and a killed job keeps those that are done.
    items = ray.data.from_items(work, override_num_blocks=len(work))
    for result in items.map(run).iter_rows():
        if result["error"]:
            raise DatasetError(result["error"])
        yield result["episode"], json.loads(result["stats"])


def _work(
    item: dict[str, int], root: Path, image_size: tuple[int, int], folder: Path | None
) -> dict[str, object]:
    """Does one episode; runs on a worker, where an error would come back wrapped in Ray's."""
    episode, row = int(item["episode"]), int(item["row"])
    dataset = open_dataset(root)
    layout = layout_of(dataset, image_size)
    store = open_store(dataset, layout, folder)
    try:
        if item["is_missing"]:
            info = dataset.episodes[episode]
            segment = Segment("", info.first, info.length)
            write_episode(dataset, layout, store, Missing(episode, segment, row))
            # Before it is said to be done: the driver may run on another machine.
            for name in layout.row_bytes():
                sync(store.path(name))
        stats = json.dumps(episode_stats(dataset, layout, store, episode, row))
    except DatasetError as error:
        return {"episode": episode, "stats": "", "error": str(error)}
    return {"episode": episode, "stats": stats, "error": ""}


def main() -> int:
    """Runs the job; exit code 0, or 2 with a sentence."""
    parser = argparse.ArgumentParser(description="Builds cache and statistics by Ray.")
    parser.add_argument("root", type=Path, help="folder of the dataset")
    parser.add_argument("--size", type=int, nargs=2, default=(96, 96), metavar=("H", "W"))
    parser.add_argument("--folder", type=Path, help="where the cache goes; in the dataset if not")
    parser.add_argument("--address", default="auto", help="of the cluster, or `local` for none")
    options = parser.parse_args()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    try:
        ray.init(address=options.address, log_to_driver=False)
    except ConnectionError:
        print(
            f"demoloop: no Ray cluster at {options.address!r}; start one with `ray start --head`, "
            "or say --address local",
            file=sys.stderr,
        )
        return 2
    try:
        height, width = options.size
        build_on_cluster(options.root, (height, width), options.folder)
    except DemoloopError as error:
        print(f"demoloop: {error}", file=sys.stderr)
        return 2
    finally:
        ray.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
