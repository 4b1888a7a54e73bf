"""`demoloop dataset history`: the edits, the first one first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from demoloop.datasets.edits import Edit, Value, read_edits, undone_edits
from demoloop.datasets.view import recorded_contents


@dataclass(frozen=True)
class Options:
    """Says of each edit who made it when, what it sets, and whether it was undone."""

    data: tyro.conf.Positional[Path]
    """Folder of the dataset, or of a collection."""


def main(options: Options) -> int:
    """Prints the edits; exit code 0."""
    contents = recorded_contents(options.data)
    index = {files.info.uuid: files.info.index for files in contents.episodes}
    edits = read_edits(options.data)
    undone = undone_edits(edits)
    for edit in edits:
        end = f", undone by {undone[edit.id]}" if edit.id in undone else ""
        print(f"{edit.id}  {edit.time}  {edit.author}  {sentence(edit, index)}{end}")
    print(f"{len(edits)} edits, {len(undone)} of them undone")
    return 0


def sentence(edit: Edit, index: dict[str, int]) -> str:
    """Returns what an edit says, the episodes by their numbers."""
    if edit.op == "undo":
        return f"undo {edit.undoes}"
    by_value: dict[Value, list[str]] = {}
    for uuid, value in edit.episodes.items():
        by_value.setdefault(value, []).append(str(index.get(uuid, uuid[:8])))
    parts = []
    for value, names in list(by_value.items())[:3]:
        more = f" and {len(names) - 8} more" if len(names) > 8 else ""
        what = "" if edit.op == "drop" else f" to {_text(value)}"
        parts.append(f"{','.join(names[:8])}{more}{what}")
    if len(by_value) > len(parts):
        parts.append("...")
    return f"{edit.op} {'; '.join(parts)}"


def _text(value: Value) -> str:
    return "-".join(map(str, value)) if isinstance(value, tuple) else str(value)
