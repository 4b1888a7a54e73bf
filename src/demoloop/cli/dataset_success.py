"""`demoloop dataset success`: judge episodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from demoloop.cli.dataset_edit import EditOptions, edit

_JUDGED = {"true": True, "false": False, "none": None}


@dataclass(frozen=True, kw_only=True)
class Options(EditOptions):
    """Training leaves failures out, and keeps what nobody judged."""

    value: Literal["true", "false", "none"]
    """Whether the task was done; none: nobody judged."""


def main(options: Options) -> int:
    """Judges; exit code 0."""
    return edit(options, "success", lambda episode, fps: _JUDGED[options.value])
