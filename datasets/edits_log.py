"""The list of a dataset's edits: `demoloop/edits.jsonl`, one checksummed line each, only appended.

An edit says what shall hold from now on for some episodes; no recorded byte is changed. Undoing is
one more edit, which names the one it takes back, so nothing is ever lost.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from demoloop.datasets import lerobot_layout as layout
from demoloop.datasets.durable import exclusive
from demoloop.datasets.errors import DatasetError, one_line
from demoloop.datasets.lines import append_line, read_lines

Op = Literal["drop", "trim", "relabel", "success", "weigh", "tag", "untag", "split", "undo"]

Value: TypeAlias = tuple[int, int] | str | float | bool | None
"""What an edit sets: trim [first, stop) in recorded steps, relabel the task, success whether it
was one, weigh how often it is sampled, tag and untag a word, split a name; drop nothing."""

LOCK = layout.OURS / "edits.lock"


@dataclass(frozen=True)
class Edit:
    """One line of the list."""

    id: str  # 8 hex digits
    op: Op
    author: str
    time: str  # UTC, ISO 8601
    episodes: Mapping[str, Value] = field(default_factory=dict)  # uuid -> what is set
    undoes: str = ""  # id of the edit that an `undo` takes back


def new_edit(
    op: Op, *, author: str, episodes: Mapping[str, Value] | None = None, undoes: str = ""
) -> Edit:
    """Returns an edit made now."""
    time = datetime.now(UTC).isoformat(timespec="seconds")
    return Edit(_new_id(), op, author, time, episodes or {}, undoes)


def _new_id() -> str:
    return secrets.token_hex(4)


def read_edits(root: Path) -> tuple[Edit, ...]:
    """Returns the edits in order, those undone and the undoing ones included.

    Raises:
        DatasetError: A line is damaged; what was torn by a kill was never done and is passed over.
    """
    path = root / layout.EDITS
    edits = []
    for number, line in enumerate(read_lines(path), start=1):
        try:
            edits.append(msgspec.json.decode(line, type=Edit))
        except (RecursionError, msgspec.MsgspecError) as error:
            raise DatasetError(
                f"{path}, line {number} is no edit ({one_line(error)}); a newer demoloop may "
                "have written it: update, or copy the file again"
            ) from error
    return tuple(edits)


def append_edit(root: Path, make: Callable[[Sequence[Edit]], Edit]) -> Edit:
    """Appends what `make` returns for the edits so far, and returns it once it is on the disk.

    Others who append wait meanwhile. Nothing is written when `make` raises.

    Raises:
        DatasetError: The file is damaged or cannot be written.
    """
    try:
        with exclusive(root / LOCK, wait=True):
            edits = read_edits(root)
            edit, taken = make(edits), {earlier.id for earlier in edits}
            while edit.id in taken:
                edit = replace(edit, id=_new_id())
            line = msgspec.json.encode(edit).decode()
            append_line(root / layout.EDITS, line)
    except OSError as error:
        raise DatasetError(
            f"{root / layout.EDITS} cannot be written ({error.strerror}); make room, or where the "
            f"folder must not change `demoloop dataset merge {root} --out COLLECTION` and edit that"
        ) from error
    return edit


def active_edits(edits: Sequence[Edit]) -> list[Edit]:
    """Returns the edits that hold, in order, without those that undo."""
    undone = undone_edits(edits)
    return [edit for edit in edits if edit.op != "undo" and edit.id not in undone]


def undone_edits(edits: Sequence[Edit]) -> dict[str, str]:
    """Returns the edits that are undone, each with the edit that undoes it.

    An undone `undo` undoes nothing, so what it took back holds again.
    """
    undone: dict[str, str] = {}
    for edit in reversed(edits):
        if edit.op == "undo" and edit.id not in undone:
            undone[edit.undoes] = edit.id
    return undone
