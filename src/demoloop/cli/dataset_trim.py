"""`demoloop dataset trim`: keep a part of each episode."""

from __future__ import annotations

from dataclasses import dataclass

from demoloop.cli.dataset_edit import EditOptions, edit
from demoloop.datasets import DatasetError, EpisodeInfo


@dataclass(frozen=True, kw_only=True)
class Options(EditOptions):
    """Steps and seconds count from the start of the recording, whatever was trimmed before.

    Negative ones count from its end: `--stop-s -1` leaves out the last second.
    """

    first: int | None = None
    """First step to keep; None is the first recorded one."""
    stop: int | None = None
    """Step after the last one to keep; None keeps to the end."""
    first_s: float | None = None
    """The same as --first, in seconds."""
    stop_s: float | None = None
    """The same as --stop, in seconds."""


def main(options: Options) -> int:
    """Trims; exit code 0.

    Raises:
        DatasetError: No end is given, or one twice, or an episode is shorter.
    """
    pairs = {"first": (options.first, options.first_s), "stop": (options.stop, options.stop_s)}
    if all(pair == (None, None) for pair in pairs.values()):
        raise DatasetError("say what to keep, such as --first 10, --stop 80 or --stop-s -1.5")
    for name, pair in pairs.items():
        if None not in pair:
            raise DatasetError(f"--{name} and --{name}-s say the same; give one of them")

    def kept(episode: EpisodeInfo, fps: int) -> tuple[int, int]:
        length = episode.recorded_length
        first = _step(options.first, options.first_s, fps, length, 0)
        return first, _step(options.stop, options.stop_s, fps, length, length)

    return edit(options, "trim", kept)


def _step(steps: int | None, seconds: float | None, fps: int, length: int, default: int) -> int:
    """Returns the step that is meant, counted from the start."""
    if seconds is not None:
        if not abs(seconds) < 1e9:  # also catches nan
            raise DatasetError(f"{seconds} is no number of seconds")
        steps = round(seconds * fps)
    if steps is None:
        return default
    return steps + length if steps < 0 else steps
