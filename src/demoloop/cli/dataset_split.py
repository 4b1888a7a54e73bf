"""`demoloop dataset split`: say which episodes are for training and which for judging."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import tyro

from demoloop.cli.dataset_edit import done
from demoloop.datasets import DatasetError
from demoloop.datasets.edits import Value, edit_episodes
from demoloop.datasets.naming import named_episodes
from demoloop.datasets.splits import draw_splits
from demoloop.datasets.view import edited_contents


@dataclass(frozen=True)
class Options:
    """Draws by whole episodes, or puts the named ones into one split.

    `demoloop dataset split DATA --val 0.1` draws a tenth for judging, the rest is `train`;
    `demoloop dataset split DATA 3-7 --name val` says it. `demoloop train --split train` then
    learns from those only.
    """

    data: tyro.conf.Positional[Path]
    """Folder of the dataset, or of a collection."""
    episodes: tyro.conf.Positional[tuple[str, ...]] = ()
    """Numbers or uuids, for --name."""
    name: str | None = None
    """Split that the named episodes go to; '' takes them out of any."""
    val: float | None = None
    """Share of all episodes to draw for `val`."""
    test: float | None = None
    """Share of all episodes to draw for `test`."""
    seed: int = 0
    """Of the draw: the same episodes and seed give the same splits."""
    author: str | None = None
    """Who says so, for the history; None is the login name."""


def main(options: Options) -> int:
    """Splits; exit code 0.

    Raises:
        DatasetError: Neither or both of a draw and a list were asked for.
    """
    shares = {"val": options.val, "test": options.test}
    drawn = {name: share for name, share in shares.items() if share is not None}
    is_list = bool(options.episodes) and options.name is not None
    if is_list == bool(drawn) or (drawn and (options.episodes or options.name is not None)):
        raise DatasetError("say either which share to draw, such as --val 0.1, or 3-7 --name val")
    if options.seed < 0:
        raise DatasetError(f"--seed is {options.seed}; it must be at least 0")
    contents = edited_contents(options.data)
    present = [files.info for files in contents.episodes]
    values: dict[str, Value] = {}
    if is_list:
        for episode in named_episodes(options.data, present, options.episodes):
            values[episode.uuid] = options.name
    else:
        values |= draw_splits([episode.uuid for episode in present], drawn, options.seed)
    made = edit_episodes(options.data, "split", values, author=options.author, present=present)
    done(options.data, made)
    counts = Counter(str(name) or "none" for name in values.values())
    print(", ".join(f"{name}: {count}" for name, count in sorted(counts.items())))
    return 0
