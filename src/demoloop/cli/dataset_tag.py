"""`demoloop dataset tag`: put words on episodes, or take them off."""

from __future__ import annotations

from dataclasses import dataclass

from demoloop.cli.dataset_edit import EditOptions, edit


@dataclass(frozen=True, kw_only=True)
class Options(EditOptions):
    """Tags are for people: training does not look at them."""

    tag: str
    """One word, such as blurred."""
    remove: bool = False
    """Take the tag off."""


def main(options: Options) -> int:
    """Tags; exit code 0."""
    return edit(options, "untag" if options.remove else "tag", lambda episode, fps: options.tag)
