"""Damaged and adversarial files: read, or refused in one sentence, and never touched.

`DEMOLOOP_MUTATIONS=100000 pytest tests/datasets/test_read_fuzz.py` tries harder.
"""

from __future__ import annotations

import os
import random
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from demoloop.datasets import DatasetError, open_dataset
from demoloop.datasets.edits import edit_episodes
from demoloop.datasets.view import merge

MUTATIONS = int(os.environ.get("DEMOLOOP_MUTATIONS", "40"))  # of each kind of file
SYNTAX = b'0123456789"{}[],:-e.\xff\x00'


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Cuts, flips bits, sets what a parser looks for, takes away and doubles."""
    data = bytearray(content)
    if rng.random() < 0.15:
        return bytes(data[: rng.randrange(len(data))])
    for _ in range(rng.choice([1, 1, 1, 2, 5, 30])):
        at = rng.randrange(len(data))
        match rng.randrange(4):
            case 0:
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                data[at] = rng.choice(SYNTAX)
            case 2 if len(data) > 100:
                del data[at : at + rng.randrange(1, 9)]
            case _:
                data[at:at] = data[at : at + rng.randrange(1, 20)]
    return bytes(data)


def mutated_behind_its_checksum(content: bytes, rng: random.Random) -> bytes:
    """Mutates a line of a checksummed file and makes the checksum fit."""
    lines = [line.partition(b" ")[2] for line in content.splitlines()]
    which = rng.randrange(len(lines))
    lines[which] = mutated(lines[which], rng).replace(b"\n", b"")
    return b"".join(b"%08x %b\n" % (zlib.crc32(line), line) for line in lines)


@pytest.mark.parametrize(
    ("name", "mutate"),
    [
        ("dataset/meta/info.json", mutated),
        ("dataset/meta/episodes/chunk-000/file-000.parquet", mutated),
        ("dataset/data/chunk-000/file-001.parquet", mutated),
        ("dataset/videos/observation.images.front/chunk-000/file-001.mp4", mutated),
        ("dataset/demoloop/edits.jsonl", mutated),
        ("dataset/demoloop/edits.jsonl", mutated_behind_its_checksum),
        ("merged/demoloop/collection.json", mutated),
    ],
)
def test_a_mutated_file_is_read_or_refused_in_a_sentence(
    root: Path, name: str, mutate: Callable[[bytes, random.Random], bytes]
) -> None:
    uuids = [episode.uuid for episode in open_dataset(root).episodes]
    edit_episodes(root, "trim", {uuids[0]: (1, 5), uuids[1]: (0, 4)})
    edit_episodes(root, "relabel", {uuids[2]: "push"})
    edit_episodes(root, "success", {uuids[2]: None, uuids[0]: True})
    opened = root.parent / name.partition("/")[0]
    merge([root], root.parent / "merged")
    path, rng = root.parent / name, random.Random(name)
    whole = path.read_bytes()
    refused = 0
    for _ in range(MUTATIONS):
        content = mutate(whole, rng)
        path.write_bytes(content)
        try:
            dataset = open_dataset(opened)
            for i in range(len(dataset.episodes)):
                dataset.lowdim(i)
        except DatasetError as error:
            refused += 1
            assert "\n" not in str(error)
        assert path.read_bytes() == content
    assert refused or name.endswith(".mp4")
