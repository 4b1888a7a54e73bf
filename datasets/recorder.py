"""The listener that records: what it hears is on the disk while the episode still goes on."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from uuid import uuid4

import cv2
import numpy as np
from numpy.typing import NDArray

from demoloop.datasets import lerobot_layout as layout
from demoloop.datasets.camera_stream import CameraStream
from demoloop.datasets.disk import disk_error, give_up_reserve
from demoloop.datasets.episode import Episode, check_episode
from demoloop.datasets.errors import DatasetError
from demoloop.datasets.lerobot_info import read_info
from demoloop.datasets.recorder_threads import CameraWorker, LogWorker, SyncWorker
from demoloop.datasets.staging import StagedEpisode, salvage, seal
from demoloop.datasets.step_log import StepLog, read_steps
from demoloop.robot import Action, Observation, RobotError, RobotSpec
from demoloop.robot.marked import check_goal

QUEUE_S = 0.5
"""Pictures that may wait to be encoded: a disk that hesitates for longer costs some of them."""


class EpisodeRecorder:
    """Records one episode of a robot into a dataset that a `DatasetWriter` has open.

    `with EpisodeRecorder(root, task="...") as recorder:
        run_episode(robot, agent, steps, recorder)
        writer.commit(recorder.finish(success=True))`

    A call copies what it is given and returns; threads encode and write. An episode that is
    neither finished nor discarded, because the process was killed, say, is put together from
    what is on the disk when the dataset is next opened for writing.

    Attributes:
        is_takeover: Whether a person decides in place of the policy; recorded with each step.
    """

    def __init__(
        self, root: Path, *, task: str, seed: int | None = None, waits: bool = False
    ) -> None:
        """Stores; files are made on entering the `with` block.

        Args:
            root: Folder of the dataset.
            task: What is asked for, in a sentence.
            seed: Of the simulation.
            waits: Whether to wait for the disk rather than to drop a picture. Never before a
                real arm, always in simulation, whose time stands still meanwhile.
        """
        self.root = Path(root)
        self.is_takeover = False
        self._task, self._seed, self._waits = task, seed, waits
        self._uuid = uuid4().hex
        self._folder = self.root / layout.OPEN / self._uuid
        self._lock = -1
        self._num_steps = 0
        self._goal: NDArray[np.float32] | None = None
        self._cameras: dict[str, CameraWorker] = {}

    def __enter__(self) -> EpisodeRecorder:
        """Creates the open episode; raises DatasetError when there is no dataset to add it to."""
        info = read_info(self.root)
        if info.spec is None:
            raise DatasetError(f"{self.root} was not recorded by demoloop; import it first")
        self.spec: RobotSpec = info.spec
        self._marks = info.marks
        try:
            self._folder.mkdir(parents=True)
            # OpenCV's pool waits actively for the next picture: 0.5 ms of a core for each.
            cv2.setNumThreads(1)
            # Held as long as this process lives, so that nobody recovers what is still growing.
            self._lock = os.open(self._folder, os.O_RDONLY)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            self._steps = StepLog(self._folder, self.spec)
            self._steps.open(self._uuid, self._task, self._seed)
        except OSError as error:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise disk_error(self.root, error, info.total_episodes) from error
        self._log = LogWorker(self._steps)
        depth = max(3, round(QUEUE_S * self.spec.control_hz))
        for camera in self.spec.cameras:
            stream = CameraStream(self._folder, camera, info.fps)
            self._cameras[camera.name] = CameraWorker(stream, depth, self._waits)
        self._sync = SyncWorker(self.root, (self._log, *self._cameras.values()))
        return self

    def __len__(self) -> int:
        """Number of steps heard."""
        return self._num_steps

    def __call__(self, observation: Observation, action: Action) -> None:
        """Takes in one step.

        Raises:
            DatasetError: The step does not fit the robot, or the disk is full. The steps before
                are safe: `finish` or, on a full disk, `rescue` makes an episode of them.
        """
        self._check(observation, action)
        self._raise_failure()
        if self._marks is not None and self._goal is None and observation.goal is not None:
            self._goal = np.array(observation.goal, np.float32)
            self._log.put(self._steps.pack_goal(self._goal))
        pictures = {
            name: camera.put(observation.images[name], observation.image_times[name])
            for name, camera in self._cameras.items()
        }
        self._log.put(self._steps.pack_step(observation, action, pictures, self.is_takeover))
        self._num_steps += 1

    def note(self, what: str) -> None:
        """Records that something happened at the step that comes next."""
        self._log.put(self._steps.pack_event(self._num_steps, what))

    @property
    def drops(self) -> Mapping[str, int]:
        """Camera -> pictures for which there was no room in the queue, so far."""
        return {name: camera.num_dropped for name, camera in self._cameras.items()}

    def finish(self, *, success: bool | None = None) -> StagedEpisode:
        """Ends the episode and returns it, ready to be committed.

        Raises:
            DatasetError: There is no step to keep, or the disk is full; `rescue` then returns
                what could be written.
        """
        self._stop()
        self._raise_failure()
        if not self._num_steps:
            raise DatasetError("no step was recorded; run an episode before finishing it")
        stats = {name: camera.stream.stats() for name, camera in self._cameras.items()}
        try:
            return seal(self._folder, read_steps(self._folder), stats, success=success)
        except OSError as error:
            raise disk_error(self.root, error, read_info(self.root).total_episodes) from error

    def rescue(self, *, success: bool | None = None) -> StagedEpisode | None:
        """Ends an episode that met a full disk: returns what was written of it, as recovered.

        None when that is too short to show anything. Takes its room from the reserve.
        """
        self._stop()
        give_up_reserve(self.root)
        try:
            return salvage(self._folder, success=success)
        except OSError as error:
            raise disk_error(self.root, error, read_info(self.root).total_episodes) from error

    def discard(self) -> None:
        """Ends the episode and removes what was written of it."""
        self._stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Lets go of the files; an episode not finished stays to be recovered."""
        self._stop()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _stop(self) -> None:
        """Writes what waits and ends the threads."""
        self._sync.stop()
        for worker in (self._log, *self._cameras.values()):
            worker.stop()

    def _raise_failure(self) -> None:
        """Raises what went wrong in one of the threads."""
        errors = [self._sync.error, self._log.error]
        errors += [camera.error for camera in self._cameras.values()]
        error = next((error for error in errors if error is not None), None)
        if isinstance(error, OSError):
            safe = read_info(self.root).total_episodes
            raise disk_error(self.root, error, safe) from error
        if error is not None:
            raise DatasetError(f"{self.root}: recording stopped: {error}") from error

    def _check(self, observation: Observation, action: Action) -> None:
        for what, values, names in (
            ("action", action, self.spec.joint_names),
            ("proprioception", observation.proprioception, self.spec.proprioception_names),
        ):
            if values.shape != (len(names),):
                raise DatasetError(f"{what} of shape {values.shape}, expected {(len(names),)}")
            if not np.isfinite(values).all():
                name = names[int(np.argmin(np.isfinite(values)))]
                raise DatasetError(f"{what}: {name} is not a number at step {self._num_steps}")
        self._check_goal(observation)
        for camera in self.spec.cameras:
            image = observation.images.get(camera.name)
            expected = (camera.height, camera.width, 3)
            if image is None or camera.name not in observation.image_times:
                raise DatasetError(
                    f"step {self._num_steps} shows no camera {camera.name!r}; check its cable"
                )
            if image.shape != expected or image.dtype != np.uint8:
                raise DatasetError(
                    f"camera {camera.name!r} gave {image.dtype} {image.shape}, expected uint8 "
                    f"{expected}"
                )

    def _check_goal(self, observation: Observation) -> None:
        """Raises DatasetError when the dataset has marks and this step none, or other ones."""
        if self._marks is None:
            return
        try:
            goal = check_goal(observation.goal, self._marks)
        except RobotError as error:
            raise DatasetError(f"step {self._num_steps}: {error}") from error
        if self._goal is not None and not np.array_equal(goal, self._goal):
            raise DatasetError(
                f"step {self._num_steps}: the marks have moved; an episode has one goal, point "
                "before it begins"
            )


def stage_episode(root: Path, episode: Episode) -> StagedEpisode:
    """Records an episode that is in memory; may run in any process.

    Raises:
        DatasetError: The episode does not fit the dataset, or the disk is full.
    """
    with EpisodeRecorder(root, task=episode.task, seed=episode.seed, waits=True) as recorder:
        try:
            check_episode(recorder.spec, episode)
            for step in range(len(episode)):
                for what in (what for at, what in episode.events if at == step):
                    recorder.note(what)
                if episode.is_takeover is not None:
                    recorder.is_takeover = bool(episode.is_takeover[step])
                recorder(episode.observation(step), episode.actions[step])
            return recorder.finish(success=episode.success)
        except BaseException:
            recorder.discard()
            raise
