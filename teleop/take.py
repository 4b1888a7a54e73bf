"""One episode of a session: being recorded, or waiting for what a person says of it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, suppress

from demoloop.datasets import DatasetError, DatasetWriter, EpisodeRecorder
from demoloop.robot import Action, Observation


class Take:
    """`with Take(…) as take: run_episode(…, take); take.keep(…)`; nothing of it is lost.

    What is neither kept nor dropped stays on the disk and is put together when the dataset is next
    opened; so does what a kill leaves.

    Attributes:
        num_steps: Heard so far.
        success: What physics said at the end; None where only a person can tell.
        problem: What the disk said, in a sentence; empty while all is well.
    """

    def __init__(
        self,
        writer: DatasetWriter | None,
        *,
        task: str,
        seed: int | None,
        events: tuple[str, ...] = (),
    ) -> None:
        """Stores; files are made on entering.

        Args:
            writer: Of the dataset; None: nothing is recorded, only counted.
            task: What is shown, in a sentence.
            seed: Of the world.
            events: Noted before the first step.
        """
        self.seed = seed
        self.num_steps = 0
        self.success: bool | None = None
        self.problem = ""
        self._writer, self._task, self._events = writer, task, events
        self._times: list[float] = []
        self._recorder: EpisodeRecorder | None = None
        self._open = ExitStack()

    def __enter__(self) -> Take:
        """Opens the files; raises DatasetError."""
        if self._writer is not None:
            recorder = EpisodeRecorder(self._writer.root, task=self._task, seed=self.seed)
            self._recorder = self._open.enter_context(recorder)
            for event in self._events:
                self.note(event)
        return self

    def __exit__(self, *_: object) -> None:
        """Lets go of the files."""
        self._open.close()

    def close(self) -> None:
        """As leaving the block; again is harmless."""
        self._open.close()

    def hear(self, observation: Observation, action: Action, *, is_takeover: bool) -> None:
        """Takes in one step. A disk that fails is said in `problem` and ends nothing by itself."""
        self.num_steps += 1
        if not self._times:
            self._times = [observation.time, observation.time]
        self._times[1] = observation.time
        if self._recorder is None or self.problem:
            return
        self._recorder.is_takeover = is_takeover
        try:
            self._recorder(observation, action)
        except DatasetError as error:
            self.problem = str(error)

    def note(self, what: str) -> None:
        """Records that something happened now."""
        if self._recorder is not None:
            self._recorder.note(what)

    @property
    def seconds(self) -> float:
        """From the first step to the last, on the clock of the observations."""
        return self._times[1] - self._times[0] if self._times else 0.0

    @property
    def drops(self) -> Mapping[str, int]:
        """Camera -> pictures for which the disk was too slow."""
        return {} if self._recorder is None else self._recorder.drops

    def keep(self, success: bool | None) -> str:
        """Makes it part of the dataset, as far as the disk has it; returns a problem or "".

        Without a single step there is nothing to keep, and that is no problem.
        """
        if self._recorder is None or self._writer is None or not self.num_steps:
            self.drop()
            return ""
        before = self._writer.num_episodes
        try:
            if self.problem:
                self._rescue(success)
            else:
                self._writer.commit(self._recorder.finish(success=success))
        except DatasetError as error:
            self.problem = self.problem or str(error)
            # A commit that met a full disk and had to use the reserve complains, and has been done.
            if self._writer.num_episodes == before:
                self._rescue(success)
        finally:
            self.close()
        return self.problem

    def _rescue(self, success: bool | None) -> None:
        """Commits what could be written; else it stays on the disk until there is room."""
        assert self._recorder is not None and self._writer is not None
        with suppress(DatasetError):  # said already
            staged = self._recorder.rescue(success=success)
            if staged is not None:
                self._writer.commit(staged)

    def drop(self) -> None:
        """Removes it."""
        if self._recorder is not None:
            self._recorder.discard()
        self.close()
