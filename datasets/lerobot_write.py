"""Writes a LeRobot v3.0 dataset, one episode at a time.

A commit puts the new episode's files in their places and then appends its line to the journal:
from that line on, and not before, the episode belongs to the dataset. Data and videos that
belong to it are never written again, so a kill or a full disk cannot touch them; LeRobot's
indices are made from the journal.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from demoloop.datasets import lerobot_layout as layout
from demoloop.datasets.camera_stream import file_sha256, video_path
from demoloop.datasets.disk import disk_error, give_up_reserve, keep_reserve
from demoloop.datasets.durable import exclusive, move_file, replace_file
from demoloop.datasets.episode import Episode
from demoloop.datasets.errors import DatasetError
from demoloop.datasets.journal import JournalEntry, append_entry, read_journal
from demoloop.datasets.lerobot_index import EpisodeIndex
from demoloop.datasets.lerobot_info import read_info
from demoloop.datasets.lerobot_new import check_folder, check_same, check_spec
from demoloop.datasets.lerobot_table import data_table
from demoloop.datasets.recorder import stage_episode
from demoloop.datasets.staging import StagedEpisode, salvage
from demoloop.datasets.stats import to_lerobot
from demoloop.datasets.step_log import Steps, read_steps
from demoloop.robot import Marks, RobotSpec
from demoloop.robot.marked import count_marks

DATA_FILE, COMMIT_FILE = "data.parquet", "commit.json"


class DatasetWriter:
    """Appends episodes to a dataset, new or begun before. One writer at a time.

    `with DatasetWriter(root, spec) as writer: writer.add(episode)`

    Attributes:
        recovered: Numbers of the episodes that an earlier session had left open and that were
            put together and added on entering.
    """

    def __init__(
        self, root: Path, spec: RobotSpec, *, marks: Marks | None = None, recovers: bool = True
    ) -> None:
        """Stores.

        Args:
            root: Folder of the dataset.
            spec: Of the robot that is recorded.
            marks: What is pointed at before each episode; None for a dataset without.
            recovers: Whether to add what a killed session left open; otherwise it is removed,
                since a simulation can show it again.
        """
        self.root, self.spec, self.marks = Path(root), spec, marks
        self.recovered: tuple[int, ...] = ()
        self._recovers = recovers
        self._met_full_disk: OSError | None = None
        self._index = EpisodeIndex(self.root, spec, marks)
        self._held = ExitStack()

    @property
    def num_episodes(self) -> int:
        """Episodes committed so far, those of earlier sessions included."""
        return self._index.num_episodes

    def __enter__(self) -> DatasetWriter:
        """Creates the dataset or goes on with it; raises DatasetError when the specs differ."""
        check_spec(self.spec, self.marks)
        check_folder(self.root)
        try:
            self._held.enter_context(exclusive(self.root / layout.LOCK, wait=False))
            try:
                self._open()
            except BaseException:
                self._close()
                raise
        except OSError as error:
            raise disk_error(self.root, error, self.num_episodes) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Lets go of the dataset; nothing is left to write."""
        if not self._recovers:
            shutil.rmtree(self.root / layout.OPEN, ignore_errors=True)
        self._close()

    def add(self, episode: Episode) -> int:
        """Commits one episode and returns its index."""
        return self.commit(stage_episode(self.root, episode))

    def commit(self, staged: StagedEpisode) -> int:
        """Makes a staged episode part of the dataset and returns its index.

        Raises:
            DatasetError: The disk is full. What was committed is safe, most often with this
                episode, for which the reserve is given up; if even that is not enough, it is
                kept and added when there is room.
        """
        self._met_full_disk = None
        try:
            self._or_from_reserve(lambda: self._write_data(staged))
            entry = self._entry(staged)
            self._or_from_reserve(lambda: self._place(staged, entry))
            self._or_from_reserve(lambda: self._index.append(entry))
        except OSError as error:
            raise disk_error(self.root, error, len(read_journal(self.root))) from error
        shutil.rmtree(staged.folder, ignore_errors=True)
        if self._met_full_disk is not None:
            raise disk_error(self.root, self._met_full_disk, self.num_episodes)
        return entry.index

    def _open(self) -> None:
        exists = (self.root / layout.INFO).exists()
        if exists:
            check_same(self.root, read_info(self.root), self.spec, self.marks)
        elif (self.root / layout.JOURNAL).exists():
            raise DatasetError(f"{self.root}: {layout.INFO} is gone; copy the dataset again")
        keep_reserve(self.root, self.spec)
        # With its first array pyarrow imports pandas, where there is one: half a second that
        # belongs here and not into the first commit.
        pa.array(np.zeros(1))
        entries = read_journal(self.root)
        if not entries and exists and read_info(self.root).total_episodes:
            raise DatasetError(
                f"{self.root} has no {layout.JOURNAL}, so nothing can be appended; import it "
                "into a new dataset"
            )
        self._index.load(entries)
        self._recover({entry.uuid for entry in entries})

    def _close(self) -> None:
        give_up_reserve(self.root)
        self._held.close()

    def _or_from_reserve(self, act: Callable[[], None]) -> None:
        try:
            act()
        except OSError as error:
            self._met_full_disk = error
            give_up_reserve(self.root)
            act()

    def _entry(self, staged: StagedEpisode) -> JournalEntry:
        steps, index = staged.steps, self.num_episodes
        hashes = [*staged.video_sha256.values(), file_sha256(staged.folder / DATA_FILE)]
        targets = self._targets(staged.folder, index).values()
        return JournalEntry(
            uuid=steps.uuid,
            index=index,
            length=len(steps),
            task=steps.task,
            success=staged.success,
            seed=steps.seed,
            sha256=staged.sha256,
            recovered=staged.recovered,
            drops=staged.drops,
            files={
                path.relative_to(self.root).as_posix(): sha256
                for path, sha256 in zip(targets, hashes, strict=True)
            },
            stats={
                key: to_lerobot(stats, is_image=key.startswith(layout.IMAGES))
                for key, stats in staged.stats.items()
            },
            committed=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def _targets(self, folder: Path, index: int) -> dict[Path, Path]:
        """Returns where each file of an open episode goes; the data, which is LeRobot's, last."""
        targets = {
            video_path(folder, camera): layout.video_file(self.root, camera, index)
            for camera in self.spec.camera_names
        }
        targets[folder / DATA_FILE] = layout.data_file(self.root, index)
        return targets

    def _write_data(self, staged: StagedEpisode) -> None:
        table = data_table(
            staged.steps,
            fps=int(self.spec.control_hz),
            episode=self.num_episodes,
            first_frame=self._index.num_frames,
            task_index=self._index.task_index(staged.steps.task),
        )
        replace_file(staged.folder / DATA_FILE, lambda path: pq.write_table(table, path))

    def _place(self, staged: StagedEpisode, entry: JournalEntry) -> None:
        """Commits: when the journal has its line, the episode is in the dataset."""
        folder = staged.folder
        replace_file(folder / COMMIT_FILE, lambda path: _write_text(path, entry.to_json()))
        try:
            for source, target in self._targets(folder, entry.index).items():
                move_file(source, target)
            append_entry(self.root, entry)
        except OSError:
            self._take_back(folder, entry.index)
            raise

    def _take_back(self, folder: Path, index: int) -> None:
        """Undoes what a commit that failed has moved, which needs no room."""
        for source, target in self._targets(folder, index).items():
            if target.exists() and not source.exists():
                os.replace(target, source)

    def _recover(self, committed: set[str]) -> None:
        """Adds what a killed session left open, or moves it to the trash."""
        added = []
        for folder in sorted((self.root / layout.OPEN).glob("*")):
            with _unless_in_use(folder) as is_free:
                if not is_free:
                    continue
                if folder.name in committed or not self._recovers:
                    self._take_back_if_begun(folder, committed)
                    shutil.rmtree(folder)
                    continue
                staged = self._take_back_if_begun(folder, committed) or salvage(folder)
                if staged is None or not self._fits(staged.steps):
                    trash = self.root / layout.TRASH / folder.name
                    trash.parent.mkdir(exist_ok=True)
                    os.replace(folder, trash)
                else:
                    added.append(self.commit(staged))
        self.recovered = tuple(added)

    def _fits(self, steps: Steps) -> bool:
        """Says whether an episode is of this robot, and has what is pointed at here."""
        num_pointed_at = 0 if steps.goal is None else len(steps.goal)
        return steps.spec == self.spec and num_pointed_at == count_marks(self.marks)

    def _take_back_if_begun(self, folder: Path, committed: set[str]) -> StagedEpisode | None:
        """Returns the episode whose commit a kill has cut short, as it was before it began."""
        try:
            entry = JournalEntry.from_json((folder / COMMIT_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError, msgspec.MsgspecError):
            return None
        if entry.uuid in committed:
            return None
        if entry.index == self.num_episodes:
            self._take_back(folder, entry.index)
        try:
            steps, stats = read_steps(folder).up_to(entry.length), entry.feature_stats()
        except DatasetError:
            return None
        numbers = (len(self.spec.proprioception_names), self.spec.action_dim)
        sizes: dict[str, int] = dict(zip((layout.STATE, layout.ACTION), numbers, strict=True))
        if self.marks is not None:
            sizes[layout.GOAL] = 2 * len(self.marks.names)
        sizes |= {layout.IMAGES + camera: 3 for camera in self.spec.camera_names}
        if {key: len(one.mean) for key, one in stats.items()} != sizes or not len(steps):
            return None
        videos = dict(zip(self.spec.camera_names, entry.files.values(), strict=False))
        return StagedEpisode(folder, steps, videos, stats, entry.success, entry.recovered)


@contextmanager
def _unless_in_use(folder: Path) -> Iterator[bool]:
    """Says whether no living process records into an open episode."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(descriptor)


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
