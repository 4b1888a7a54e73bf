"""`demoloop dataset relabel`: say another task."""

from __future__ import annotations

from dataclasses import dataclass

from demoloop.cli.dataset_edit import EditOptions, edit


@dataclass(frozen=True, kw_only=True)
class Options(EditOptions):
    """What was asked for, in a sentence."""

    task: str
    """The task, such as "put the cube into the bowl"."""


def main(options: Options) -> int:
    """Relabels; exit code 0."""
    return edit(options, "relabel", lambda episode, fps: options.task)
