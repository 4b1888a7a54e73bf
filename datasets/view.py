"""What a folder, or a collection of folders, holds once its edits are applied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from demoloop.datasets import lerobot_layout as layout
from demoloop.datasets.collection import (
    is_collection,
    joined_contents,
    read_sources,
    write_collection,
)
from demoloop.datasets.contents import Contents, folder_contents
from demoloop.datasets.edits_apply import apply_edits
from demoloop.datasets.edits_log import read_edits
from demoloop.datasets.errors import DatasetError


def edited_contents(root: Path, split: str | None = None, within: Sequence[Path] = ()) -> Contents:
    """Returns the episodes that the edits of a folder keep, as they leave them.

    Args:
        root: A dataset or a collection.
        split: Only the episodes of this split; all when None.
        within: Collections on the way here, none of which may hold itself.

    Raises:
        DatasetError: There is nothing to read, or the edits are damaged.
    """
    contents = recorded_contents(root, within)
    edits = read_edits(root)
    try:
        episodes, strangers = apply_edits(contents.episodes, edits)
    except DatasetError as error:
        raise DatasetError(f"{root / layout.EDITS}: {error}") from error
    missing = list(contents.missing)
    if strangers and not missing:
        missing.append(
            f"{len(strangers)} edited episode{'' if len(strangers) == 1 else 's'} cannot be found "
            f"in {root} any more; the edits wait for them"
        )
    if not episodes:
        raise DatasetError(
            f"{root}: all {len(contents.episodes)} episodes are dropped; `demoloop dataset "
            f"history {root}` lists the edits and `undo` takes one back"
        )
    if split is not None:
        names = sorted({files.info.split for files in episodes} - {""})
        episodes = [files for files in episodes if files.info.split == split]
        if not episodes:
            raise DatasetError(
                f"{root} has no episode in split {split!r}; its splits are "
                f"{', '.join(names) or 'none'}: `demoloop dataset split` makes them"
            )
    return replace(contents, episodes=episodes, missing=missing)


def recorded_contents(root: Path, within: Sequence[Path] = ()) -> Contents:
    """Returns what a folder holds before its own edits; a collection's sources have theirs."""
    if not is_collection(root):
        return folder_contents(root)
    here = root.resolve()
    if here in within:
        raise DatasetError(f"{root} is a collection that holds itself; make it anew")
    sources = [
        (source, edited_contents(source.find(root), within=[*within, here]))
        for source in read_sources(root)
    ]
    for source, contents in sources:
        source.check(root, contents)
    return joined_contents(root, [contents for _, contents in sources])


def merge(sources: Sequence[Path], out: Path) -> Contents:
    """Makes `out` a collection of datasets; it names them and copies nothing.

    Raises:
        DatasetError: The robots differ, an episode is in two of them, or `out` is taken.
    """
    contents = [edited_contents(source) for source in sources]
    joined = joined_contents(out, contents)
    write_collection(out, contents)
    return joined
