"""What the page says about episodes, as edits of the overlay, and the overlay in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from demoloop.datasets.edits import (
    Edit,
    Op,
    Value,
    edit_episodes,
    read_edits,
    undo_edit,
    undone_edits,
)
from demoloop.datasets.errors import DatasetError, one_line

_T = TypeVar("_T")

_MAX_NAMED = 4  # episodes named in a sentence; of more, their number


@dataclass(frozen=True)
class _Wanted:
    """The body of a request to edit one episode."""

    op: Op
    uuid: str
    value: Value = None


@dataclass(frozen=True)
class _Unwanted:
    """The body of a request to take an edit back."""

    id: str


def write_edit(root: Path, body: bytes) -> Edit:
    """Writes the edit of one episode that the page asks for.

    Raises:
        DatasetError: The request makes no sense, or the edit is refused; nothing is written.
    """
    wanted = _decode(body, _Wanted)
    if wanted.op == "undo":
        raise DatasetError("an undo names an edit, not an episode")
    return edit_episodes(root, wanted.op, {wanted.uuid: wanted.value})


def write_undo(root: Path, body: bytes) -> Edit:
    """Takes back the edit that the page names; raises DatasetError when that cannot be done."""
    return undo_edit(root, _decode(body, _Unwanted).id)


def _decode(body: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (UnicodeDecodeError, RecursionError, msgspec.MsgspecError) as error:
        raise DatasetError(f"the page asks for something unknown: {one_line(error)}") from error


def describe_history(root: Path, numbers: Mapping[str, int]) -> list[dict[str, Any]]:
    """Returns all edits, the oldest first.

    Args:
        root: The dataset.
        numbers: uuid -> number of the episode, of those that were dropped, too.

    Raises:
        DatasetError: The file of edits is damaged.
    """
    edits = read_edits(root)
    undone = undone_edits(edits)
    by_id = {edit.id: edit for edit in edits}
    return [
        {
            "id": edit.id,
            "op": edit.op,
            "episodes": list(_original(edit, by_id).episodes),
            "sentence": sentence(edit, by_id, numbers),
            "author": edit.author,
            "time": edit.time,
            "undone": edit.id in undone,
        }
        for edit in edits
    ]


def sentence(edit: Edit, by_id: Mapping[str, Edit], numbers: Mapping[str, int]) -> str:
    """Says in a few words what an edit does, to which episodes."""
    if edit.op == "undo":
        undone = by_id.get(edit.undoes)
        what = edit.undoes if undone is None else sentence(undone, by_id, numbers)
        return f"taken back: {what}"
    values = set(edit.episodes.values())
    what = _what(edit.op, values.pop()) if len(values) == 1 else edit.op
    return f"{_which(edit, numbers)}: {what}"


def _original(edit: Edit, by_id: Mapping[str, Edit]) -> Edit:
    """Returns the edit that an undo, or an undo of an undo, is about in the end."""
    while edit.op == "undo" and edit.undoes in by_id:
        edit = by_id[edit.undoes]
    return edit


def _which(edit: Edit, numbers: Mapping[str, int]) -> str:
    if len(edit.episodes) > _MAX_NAMED:
        return f"{len(edit.episodes)} episodes"
    return ", ".join(f"#{numbers[uuid]}" if uuid in numbers else uuid[:8] for uuid in edit.episodes)


def _what(op: Op, value: Value) -> str:
    match op, value:
        case "drop", _:
            return "dropped"
        case "trim", (first, stop):
            return f"trimmed to the recorded steps {first} … {stop - 1}"
        case "relabel", _:
            return f"task “{value}”"
        case "success", None:
            return "not judged"
        case "success", _:
            return "success" if value else "failure"
        case "weigh", _:
            return f"weight {value}"
        case "tag", _:
            return f"tag “{value}”"
        case "untag", _:
            return f"tag “{value}” removed"
        case _:
            return f"split “{value}”" if value else "in no split"
