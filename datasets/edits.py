"""Edits a dataset: says what shall hold for some of its episodes, checked before it is written.

Nothing that was recorded is touched; `edits_log` keeps what was said, `edits_apply` says what it
means.
"""

from __future__ import annotations

import getpass
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from demoloop.datasets import lerobot_layout as layout
from demoloop.datasets.edits_apply import check_value
from demoloop.datasets.edits_log import (
    Edit,
    Op,
    Value,
    append_edit,
    new_edit,
    read_edits,
    undone_edits,
)
from demoloop.datasets.errors import DatasetError
from demoloop.datasets.lerobot_files import EpisodeInfo
from demoloop.datasets.view import recorded_contents

__all__ = [
    "Edit",
    "Op",
    "Value",
    "edit_episodes",
    "login_name",
    "read_edits",
    "undo_edit",
    "undone_edits",
]


def edit_episodes(
    root: Path,
    op: Op,
    episodes: Mapping[str, Value],
    *,
    author: str | None = None,
    present: Iterable[EpisodeInfo] | None = None,
) -> Edit:
    """Writes one edit of any number of episodes; it is on the disk when this returns.

    Args:
        root: The dataset, or a collection.
        op: What to set; `undo` has a function of its own.
        episodes: Their uuids, and what is set for each (see `Value`).
        author: Who says so; the login name when None.
        present: The episodes of `root`, where the caller has just opened it; looked up when None.

    Raises:
        DatasetError: There is no such episode or it cannot have that value; nothing is written.
    """
    if not episodes:
        raise DatasetError(f"no episode to {op}; name one at least")
    if present is None:
        present = (files.info for files in recorded_contents(root).episodes)
    known = {episode.uuid: episode for episode in present}
    for uuid, value in episodes.items():
        if uuid not in known:
            raise DatasetError(
                f"{root} has no episode {uuid[:100]!r}; `demoloop dataset list {root}` shows "
                "those it has"
            )
        check_value(op, value, known[uuid])
    edit = new_edit(op, author=login_name() if author is None else author, episodes=episodes)
    return append_edit(root, lambda _: edit)


def undo_edit(root: Path, edit_id: str | None = None, *, author: str | None = None) -> Edit:
    """Takes back an edit; taking back an undo makes the edit hold again.

    Args:
        root: The dataset, or a collection.
        edit_id: Which; the last that holds and is no undo when None.
        author: Who says so; the login name when None.

    Raises:
        DatasetError: There is no such edit, or it is undone already; nothing is written.
    """
    if not (root / layout.EDITS).exists():  # nor is there a folder for a lock, perhaps
        raise DatasetError(f"{root} has no edit to undo")
    name = login_name() if author is None else author

    def make(edits: Sequence[Edit]) -> Edit:
        undone = undone_edits(edits)
        wanted = edit_id
        if wanted is None:
            holding = [edit.id for edit in edits if edit.op != "undo" and edit.id not in undone]
            if not holding:
                raise DatasetError(f"{root} has no edit to undo")
            wanted = holding[-1]
        if wanted not in {edit.id for edit in edits}:
            raise DatasetError(
                f"{root} has no edit {wanted[:100]!r}; `demoloop dataset history {root}` lists them"
            )
        if wanted in undone:
            raise DatasetError(
                f"edit {wanted} is undone already, by {undone[wanted]}; undo that to have it again"
            )
        return new_edit("undo", author=name, undoes=wanted)

    return append_edit(root, make)


def login_name() -> str:
    """Returns who is logged in, as far as the system knows."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user without a name, as in many a container
        return "unknown"
