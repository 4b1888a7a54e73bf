"""`demoloop dataset drop`: leave episodes out."""

from __future__ import annotations

from dataclasses import dataclass

from demoloop.cli.dataset_edit import EditOptions, edit


@dataclass(frozen=True, kw_only=True)
class Options(EditOptions):
    """The files stay where they are; `demoloop dataset undo` brings the episodes back."""


def main(options: Options) -> int:
    """Drops; exit code 0."""
    return edit(options, "drop", lambda episode, fps: None)
