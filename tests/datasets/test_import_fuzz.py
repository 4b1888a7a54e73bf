"""Whatever is done to the bytes of a source, importing gives episodes or a sentence.

`python tests/datasets/test_import_fuzz.py NAME COUNT SEED` runs more of the same.
"""

from __future__ import annotations

import importlib.util
import random
import resource
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import cv2
import pytest

from demoloop.datasets import DatasetError
from demoloop.datasets.episode import check_episode
from demoloop.datasets.importers import IMPORTERS, ImportOptions

COUNT = 40


def neighbour(name: str) -> ModuleType:
    """A file of tests beside this one: it knows how to write a source."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def act(folder: Path) -> Path:
    write = neighbour("test_import_hdf5").write_act
    for episode, form in enumerate(("plain", "padded", "bytes")):
        write(folder / "act", episode, form=form)
    return folder / "act"


def robomimic(folder: Path) -> Path:
    path: Path = neighbour("test_import_hdf5").write_robomimic(folder / "lift.hdf5", (0, 1))
    return path


def mcap(folder: Path, write: str, **words: object) -> Path:
    module = neighbour("test_import_mcap")
    path: Path = getattr(module.make, write)(folder / "a.mcap", module.drive(), **words)
    return path


def lerobot_v21(folder: Path) -> Path:
    root: Path = neighbour("v21_files").write_v21(folder / "d")
    return root


def lerobot_pictures(folder: Path) -> Path:
    module = neighbour("v21_files")
    kind = {"dtype": "image", "shape": [32, 48, 3], "names": None}
    root: Path = module.write_v21(folder / "d", features={module.TOP: kind})
    for episode in range(3):
        coded = [cv2.imencode(".png", module.bars(t))[1].tobytes() for t in range(module.STEPS)]
        columns = {name: module.column(episode, 2) for name in ("observation.state", "action")}
        pictures = [{"bytes": data, "path": ""} for data in coded]
        module.write_data(root, episode, {**columns, module.TOP: pictures})
    return root


def lerobot_v30(folder: Path) -> Path:
    recorded = Path(__file__).parents[2] / ".." / "shared" / "data" / "lerobot_v30_sample"
    if not recorded.exists():
        pytest.skip("recorded data lerobot_v30_sample is not beside the repository")
    for source in (path for path in recorded.rglob("*") if path.is_file()):
        target = folder / "d" / source.relative_to(recorded)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    return folder / "d"


class Source(NamedTuple):
    format: str
    write: Callable[[Path], Path]


SOURCES = {
    "act": Source("act", act),
    "robomimic": Source("robomimic", robomimic),
    "mcap ros2": Source("mcap", lambda folder: mcap(folder, "write_ros2")),
    "mcap json": Source("mcap", lambda folder: mcap(folder, "write_json")),
    "lerobot v2.1": Source("lerobot", lerobot_v21),
    "lerobot v2.1 pictures": Source("lerobot", lerobot_pictures),
    "lerobot v3.0": Source("lerobot", lerobot_v30),
}


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Cuts, flips, overwrites, copies or removes some bytes."""
    changed = bytearray(data)
    at, width = rng.randrange(len(data)), rng.choice([1, 2, 4, 8, 64])
    match rng.randrange(8):
        case 0:
            return data[:at]
        case 1 | 2 | 3:
            for _ in range(rng.choice([1, 1, 2, 8, 32])):
                changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        case 4 | 5:
            changed[at : at + width] = bytes([rng.choice([0, 0x7F, 0x80, 0xFF])]) * width
        case 6:
            other = rng.randrange(len(data))
            changed[at : at + width] = data[other : other + width]
        case _:
            del changed[at : at + width]
    return bytes(changed)


def outcomes(name: str, folder: Path, count: int, seed: int) -> Counter[str]:
    """Counts what became of the episodes of `count` sources, each with one file mutated."""
    rng = random.Random(seed)
    kind, write = SOURCES[name]
    source = write(folder)
    files = sorted(source.rglob("*")) if source.is_dir() else [source]
    originals = {path: path.read_bytes() for path in files if path.is_file()}
    counted: Counter[str] = Counter()
    for _ in range(count):
        path = rng.choice(list(originals))
        path.write_bytes(mutated(originals[path], rng))
        try:
            found = IMPORTERS[kind].find(source, ImportOptions())
            for item in found.items:
                try:
                    check_episode(found.spec, item.read())
                    counted["read"] += 1
                except DatasetError as error:
                    counted["skipped"] += 1
                    assert "\n" not in str(error)
            assert all("\n" not in skipped.why for skipped in found.skipped)
            counted["skipped"] += len(found.skipped)
        except DatasetError as error:
            counted["refused"] += 1
            assert "\n" not in str(error)
        path.write_bytes(originals[path])
    return counted


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_with_damaged_bytes_gives_episodes_or_a_sentence(
    tmp_path: Path, name: str
) -> None:
    counted = outcomes(name, tmp_path, COUNT, seed=0)
    assert counted["read"] and counted["skipped"] + counted["refused"]


def main(name: str, count: str, seed: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        counted = outcomes(name, Path(folder), int(count), int(seed))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{name}: {count} mutations, {dict(counted)}, peak {peak} MB")


if __name__ == "__main__":
    main(*sys.argv[1:])
