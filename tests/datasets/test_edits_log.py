"""Edits survive kills, and damage is told from what a kill leaves."""

from __future__ import annotations

import multiprocessing
import zlib
from pathlib import Path

import pytest

from demoloop.datasets import DatasetError, open_dataset
from demoloop.datasets.edits import Op, Value, edit_episodes, read_edits, undo_edit

LOG = "demoloop/edits.jsonl"


def test_edits_survive_a_kill_at_any_byte_of_the_next(root: Path) -> None:
    names = [episode.uuid for episode in open_dataset(root).episodes]
    edits: list[tuple[Op, Value]] = [("trim", (1, 4)), ("relabel", "schiebe den Würfel")]
    states = [(0, open_dataset(root).view_hash())]
    for op, value in edits:
        edit_episodes(root, op, {names[0]: value})
        states.append(((root / LOG).stat().st_size, open_dataset(root).view_hash()))
    written = (root / LOG).read_bytes()
    for cut in range(len(written)):
        (root / LOG).write_bytes(written[:cut])
        count = sum(size <= cut for size, _ in states) - 1
        assert len(read_edits(root)) == count
        if cut % 40 == 0:
            assert open_dataset(root).view_hash() == states[count][1]


@pytest.mark.parametrize("cut", [1, 20, 100])
def test_an_edit_after_a_kill_makes_way_for_the_torn_one(root: Path, cut: int) -> None:
    names = [episode.uuid for episode in open_dataset(root).episodes]
    edit_episodes(root, "drop", {names[0]: None})
    whole = (root / LOG).read_bytes()
    (root / LOG).write_bytes(whole + whole[:cut])
    edit_episodes(root, "drop", {names[1]: None})
    assert [edit.op for edit in read_edits(root)] == ["drop", "drop"]
    assert [episode.index for episode in open_dataset(root).episodes] == [2]


@pytest.mark.parametrize("where", [3, 40, 120])
def test_damage_is_one_sentence_that_names_the_line(root: Path, where: int) -> None:
    name = open_dataset(root).episodes[0].uuid
    for tag in ("a", "b", "c"):
        edit_episodes(root, "tag", {name: tag})
    lines = (root / LOG).read_bytes().splitlines(keepends=True)
    lines[1] = lines[1][:where] + bytes([lines[1][where] ^ 1]) + lines[1][where + 1 :]
    (root / LOG).write_bytes(b"".join(lines))
    before = (root / LOG).read_bytes()
    for attempt in (
        lambda: open_dataset(root),
        lambda: edit_episodes(root, "tag", {name: "d"}),
        lambda: undo_edit(root),
    ):
        with pytest.raises(DatasetError, match=r"edits\.jsonl, line 2 is damaged") as caught:
            attempt()
        assert "\n" not in str(caught.value)
    assert (root / LOG).read_bytes() == before


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b"\xff",
        b'{"id":1}',
        b'{"id":"a","op":"burn","author":"","time":""}',
        b'{"id":"a","op":"trim","author":"","time":"","episodes":{"UUID":[1]}}',
        b'{"id":"a","op":"trim","author":"","time":"","episodes":{"UUID":[0,99]}}',
        b'{"id":"a","op":"weigh","author":"","time":"","episodes":{"UUID":-1}}',
        b'{"id":"a","op":"success","author":"","time":"","episodes":{"UUID":"yes"}}',
        b'{"id":"a","op":"relabel","author":"","time":"","episodes":{"UUID":null}}',
    ],
)
def test_a_line_that_is_no_edit_is_one_sentence_whatever_its_checksum(
    root: Path, text: bytes
) -> None:
    text = text.replace(b"UUID", open_dataset(root).episodes[0].uuid.encode())
    (root / LOG).write_bytes(b"%08x %b\n" % (zlib.crc32(text), text))
    with pytest.raises(DatasetError) as caught:
        open_dataset(root)
    assert "\n" not in str(caught.value)


def test_those_who_edit_at_once_lose_nothing(root: Path) -> None:
    name = open_dataset(root).episodes[0].uuid
    tags = [f"tag{number}" for number in range(40)]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.starmap(edit_episodes, [(root, "tag", {name: tag}) for tag in tags], chunksize=1)
    assert sorted(open_dataset(root).episodes[0].tags) == sorted(tags)
    assert len({edit.id for edit in read_edits(root)}) == 40


def test_a_folder_that_cannot_be_written_is_one_sentence(root: Path) -> None:
    name = open_dataset(root).episodes[0].uuid
    (root / LOG).mkdir(parents=True)
    with pytest.raises(DatasetError, match="cannot be"):
        edit_episodes(root, "drop", {name: None})
