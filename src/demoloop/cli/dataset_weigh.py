"""`demoloop dataset weigh`: say how often episodes are sampled in training."""

from __future__ import annotations

from dataclasses import dataclass

from demoloop.cli.dataset_edit import EditOptions, edit


@dataclass(frozen=True, kw_only=True)
class Options(EditOptions):
    """An episode that was never weighed has 1."""

    weight: float
    """How often against 1 for the others; 0 is never."""


def main(options: Options) -> int:
    """Weighs; exit code 0."""
    return edit(options, "weigh", lambda episode, fps: options.weight)
