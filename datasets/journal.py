"""The list of what a dataset holds: one line per episode, appended when all else is on the disk.

An episode belongs to the dataset from the moment its line is whole. LeRobot's own indices are
made from these lines and can be made again.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from demoloop.datasets import lerobot_layout as layout
from demoloop.datasets.errors import DatasetError, one_line
from demoloop.datasets.lines import append_line, read_lines
from demoloop.datasets.stats import FeatureStats, NestedStats, from_lerobot


@dataclass(frozen=True)
class JournalEntry:
    """One committed episode."""

    uuid: str
    index: int
    length: int
    task: str
    success: bool | None
    seed: int | None
    sha256: str  # of what was recorded; does not change with the episode's number
    recovered: bool  # put together after a kill or a full disk, so perhaps not to its end
    drops: dict[str, int]  # camera -> pictures for which there was no room in the queue
    files: dict[str, str]  # path below the dataset -> sha256
    stats: dict[str, NestedStats]  # feature -> lerobot's statistics
    committed: str  # UTC, ISO 8601

    def to_json(self) -> str:
        """Returns one line of JSON."""
        return json.dumps(asdict(self), separators=(",", ":"), ensure_ascii=False)

    def feature_stats(self) -> dict[str, FeatureStats]:
        """Returns the statistics; raises DatasetError when they are none."""
        try:
            return {key: from_lerobot(nested) for key, nested in self.stats.items()}
        except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
            raise DatasetError(
                f"the statistics of episode {self.index} cannot be understood ({one_line(error)})"
            ) from error

    @classmethod
    def from_json(cls, text: str) -> JournalEntry:
        """Reads what `to_json` wrote; raises msgspec.ValidationError otherwise."""
        return msgspec.json.decode(text, type=cls)


def read_journal(root: Path) -> list[JournalEntry]:
    """Returns the committed episodes in order.

    Raises:
        DatasetError: A line is damaged, or not the one that should follow.
    """
    path = root / layout.JOURNAL
    entries = []
    for number, line in enumerate(read_lines(path)):
        try:
            entry = JournalEntry.from_json(line)
        except (RecursionError, msgspec.MsgspecError) as error:
            raise DatasetError(
                f"{path}, line {number + 1} is no episode ({one_line(error)}); copy the file again"
            ) from error
        if entry.index != number:
            raise DatasetError(
                f"{path}, line {number + 1} is of episode {entry.index}; lines are missing or "
                "doubled: copy the file again"
            )
        entries.append(entry)
    return entries


def append_entry(root: Path, entry: JournalEntry) -> None:
    """Commits an episode whose files are on the disk and in their places."""
    append_line(root / layout.JOURNAL, entry.to_json())
