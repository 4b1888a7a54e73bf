"""Rows of decoded steps on disk: appended, never changed, and listed when they are whole.

A store is a folder with one file per camera, two for the numbers, and `index.jsonl`. Row r of
every file is the same step of the same episode. Rows that the index does not list are not there:
a build that was killed left them, and the next one writes over them.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO, NamedTuple

import msgspec

from demoloop.datasets.durable import exclusive, replace_file, sync
from demoloop.datasets.errors import DatasetError
from demoloop.datasets.lines import append_line, read_lines

INDEX = "index.jsonl"
VIEWS = "views"

_Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]
_Line = list[tuple[str, _Count, _Count, _Count]]  # of the index: key, first, length, row

KEPT_VIEWS = 8
"""Views whose rows are kept: those opened last. Two that take turns never undo each other."""

COPY_BYTES = 1 << 24


class Segment(NamedTuple):
    """Recorded steps first .. first + length - 1 of the episode with that content."""

    key: str
    first: int
    length: int

    def holds(self, other: Segment) -> bool:
        """Whether all steps of `other` are among these."""
        return (
            self.key == other.key
            and self.first <= other.first
            and other.first + other.length <= self.first + self.length
        )


class CacheStore:
    """A folder of rows. Everything is done inside `with store.locked():`, but for `write`."""

    def __init__(self, folder: Path, row_bytes: Mapping[str, int]) -> None:
        self.folder = folder
        self._row_bytes = row_bytes  # file name -> bytes of a row
        self._listed: dict[str, list[tuple[Segment, int]]] = {}  # key -> segment, its first row
        self._end = 0  # the row after the last one listed

    @property
    def num_rows(self) -> int:
        """Rows up to the last one listed; mappings may be as long."""
        return self._end

    def path(self, name: str) -> Path:
        """Returns where the rows of a file are."""
        return self.folder / name

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the store: a second process waits here until the first has built."""
        with exclusive(self._beside(".lock"), wait=True):
            self._finish_reclaiming()
            self._read_index()
            yield

    def find(self, wanted: Segment) -> int | None:
        """Returns the row of the first step of a segment, None when not all of it is there."""
        for segment, row in self._listed.get(wanted.key, ()):
            if segment.holds(wanted):
                return row + wanted.first - segment.first
        return None

    def allot(self, lengths: Sequence[int]) -> list[int]:
        """Makes room behind the last row and returns the first row of each new segment.

        Raises:
            OSError: The disk is full; then nothing is taken.
        """
        rows, end = [], self._end
        for length in lengths:
            rows.append(end)
            end += length
        for name, width in self._row_bytes.items():
            with self.path(name).open("ab") as file:
                before = file.seek(0, os.SEEK_END)
                try:
                    # Now, so that a full disk is noticed before an hour of decoding.
                    os.posix_fallocate(file.fileno(), 0, max(1, end * width))
                except OSError:
                    file.truncate(before)
                    raise
        return rows

    def write(self, name: str, row: int) -> BinaryIO:
        """Opens a file at a row that was allotted; may be done by many threads and processes."""
        file = self.path(name).open("r+b")
        file.seek(row * self._row_bytes[name])
        return file

    def commit(self, segments: Sequence[tuple[Segment, int]]) -> None:
        """Lists segments that were written, with the first row of each, once they are on disk."""
        for name in self._row_bytes:
            sync(self.path(name))
        append_line(self.folder / INDEX, json.dumps([(*segment, row) for segment, row in segments]))
        for segment, row in segments:
            self._remember(segment, row)

    def use(self, name: str, view: Sequence[Segment]) -> None:
        """Notes that a view is used and reclaims the rows that none of the last views uses.

        They are reclaimed, by copying the others, when they are more than half of the store.
        """
        path = self.folder / VIEWS / f"{name}.json"

        def write(temporary: Path) -> None:
            temporary.write_text(json.dumps(view), encoding="utf-8")

        replace_file(path, write)
        if 2 * sum(segment.length for segment in view) >= self._end:
            return
        views = (self.folder / VIEWS).glob("*.json")
        last = sorted(views, key=lambda path: path.stat().st_mtime_ns, reverse=True)
        for path in last[KEPT_VIEWS:]:
            path.unlink()
        needed: dict[str, set[Segment]] = {}
        for path in last[:KEPT_VIEWS]:
            for wanted in _read_view(path):
                needed.setdefault(wanted[0], set()).add(Segment(*wanted))
        kept = [
            entry
            for key, entries in self._listed.items()
            for entry in entries
            if any(entry[0].holds(one) for one in needed.get(key, ()))
        ]
        if 2 * sum(segment.length for segment, _ in kept) < self._end:
            self._reclaim(kept)

    def _remember(self, segment: Segment, row: int) -> None:
        self._listed.setdefault(segment.key, []).append((segment, row))
        self._end = max(self._end, row + segment.length)

    def _read_index(self) -> None:
        """Reads what is listed; clears a store that is damaged or of other files."""
        self._listed, self._end = {}, 0
        files = json.dumps(self._row_bytes, sort_keys=True)
        try:
            first, *lines = read_lines(self.folder / INDEX) or [files]
        except DatasetError:  # damaged: what can be decoded again is not worth a question
            first, lines = "", []
        if first != files:
            # Removed and not written over: another process may have them mapped.
            shutil.rmtree(self.folder)
        (self.folder / VIEWS).mkdir(parents=True, exist_ok=True)
        if not (self.folder / INDEX).exists():
            append_line(self.folder / INDEX, files)
        try:
            listed = [
                (Segment(key, first, length), row)
                for line in lines
                for key, first, length, row in msgspec.json.decode(line, type=_Line)
            ]
        except (
            RecursionError,
            msgspec.MsgspecError,
        ):  # its checksum fits, so another version may have written it
            (self.folder / INDEX).unlink()
            return self._read_index()
        for segment, row in listed:
            self._remember(segment, row)
        self._fit_files(listed)

    def _fit_files(self, listed: Sequence[tuple[Segment, int]]) -> None:
        """Gives back the room of what a killed build left; forgets rows that a file has lost."""
        whole = self._end
        for name, width in self._row_bytes.items():
            with self.path(name).open("ab") as file:
                whole = min(whole, file.seek(0, os.SEEK_END) // width)
                if file.tell() > self._end * width:
                    file.truncate(self._end * width)
        if whole < self._end:
            (self.folder / INDEX).unlink()
            append_line(self.folder / INDEX, json.dumps(self._row_bytes, sort_keys=True))
            self._listed, self._end = {}, 0
            self.commit([(one, row) for one, row in listed if row + one.length <= whole])

    def _beside(self, ending: str) -> Path:
        return self.folder.with_name(self.folder.name + ending)

    def _reclaim(self, kept: Sequence[tuple[Segment, int]]) -> None:
        """Copies the segments to a new folder, one behind the other, and puts it in place.

        Whoever has the old files mapped keeps them until they are let go of.
        """
        new = CacheStore(self._beside(".new"), self._row_bytes)
        shutil.copytree(self.folder / VIEWS, new.folder / VIEWS)
        new._read_index()
        rows = new.allot([segment.length for segment, _ in kept])
        entries = [(segment, row) for (segment, _), row in zip(kept, rows, strict=True)]
        for name, width in self._row_bytes.items():
            with self.path(name).open("rb") as source:
                for (segment, old), (_, row) in zip(kept, entries, strict=True):
                    source.seek(old * width)
                    with new.write(name, row) as target:
                        _copy(source, target, segment.length * width)
        new.commit(entries)
        os.replace(self.folder, self._beside(".old"))
        os.replace(new.folder, self.folder)
        shutil.rmtree(self._beside(".old"))
        self._read_index()

    def _finish_reclaiming(self) -> None:
        """Puts the old folder back where a kill came between the two renames; clears the rest."""
        if not self.folder.exists() and self._beside(".old").exists():
            os.replace(self._beside(".old"), self.folder)
        for ending in (".old", ".new"):
            shutil.rmtree(self._beside(ending), ignore_errors=True)


def _copy(source: BinaryIO, target: BinaryIO, count: int) -> None:
    while count:
        data = source.read(min(count, COPY_BYTES))
        target.write(data)
        count -= len(data)


def _read_view(path: Path) -> list[tuple[str, int, int]]:
    """Returns the segments of a view, none where the file is damaged: they are decoded again."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[tuple[str, int, int]])
    except (UnicodeDecodeError, RecursionError, msgspec.MsgspecError):
        return []
