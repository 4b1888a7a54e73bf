"""`demoloop dataset undo`: take back an edit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from demoloop.datasets.edits import undo_edit


@dataclass(frozen=True)
class Options:
    """Undoing an undo makes the edit hold again."""

    data: tyro.conf.Positional[Path]
    """Folder of the dataset, or of a collection."""
    edit: tyro.conf.Positional[str | None] = None
    """Which, as `demoloop dataset history` shows it; None is the last one that holds."""
    author: str | None = None
    """Who says so, for the history; None is the login name."""


def main(options: Options) -> int:
    """Takes back; exit code 0."""
    undo = undo_edit(options.data, options.edit, author=options.author)
    print(f"undone: edit {undo.undoes}")
    print(f"`demoloop dataset undo {options.data} {undo.id}` makes it hold again")
    return 0
