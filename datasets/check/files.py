"""Files: other bytes than were committed, other lengths than the index says."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from demoloop.datasets import lerobot_layout as layout
from demoloop.datasets.check.defect import Defect
from demoloop.datasets.journal import JournalEntry, read_journal
from demoloop.datasets.lerobot_files import EpisodeInfo, VideoPart


def journal_of(root: Path) -> Mapping[str, JournalEntry]:
    """Returns what was committed by uuid; nothing for datasets of others.

    Raises:
        DatasetError: A line of the journal is damaged.
    """
    if not (root / layout.JOURNAL).exists():
        return {}
    return {entry.uuid: entry for entry in read_journal(root)}


def file_defects(root: Path, info: EpisodeInfo, entry: JournalEntry) -> Iterator[Defect]:
    """Compares an episode with what the journal says of it."""

    def defect(kind: str, sentence: str) -> Defect:
        return Defect(info.index, info.uuid, kind, 0, info.length - 1, "", sentence)

    if entry.length != info.recorded_length:
        yield defect(
            "wrong length",
            f"the index says {info.recorded_length} steps, {entry.length} were committed",
        )
    for name, sha256 in entry.files.items():
        try:
            with (root / name).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            yield defect("damaged file", f"{name} cannot be read: {error.strerror}")
            continue
        if found != sha256:
            yield defect("damaged file", f"{name} is not the file that was committed")


def length_defects(info: EpisodeInfo, videos: Mapping[str, VideoPart]) -> Iterator[Defect]:
    """Compares the videos of an episode of ours, which has files of its own, with its steps."""
    import av
    import av.error

    for camera, part in videos.items():
        try:
            with av.open(str(part.path)) as container:
                found = container.streams.video[0].frames
        except (av.error.FFmpegError, IndexError, OSError):
            continue  # said when the pictures are read
        if found > info.recorded_length:
            last = info.length - 1
            sentence = f"{camera} has {found} pictures for {info.recorded_length} steps"
            yield Defect(info.index, info.uuid, "wrong length", 0, last, camera, sentence)
