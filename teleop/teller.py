"""Tells those who show a session how it goes."""

from __future__ import annotations

from demoloop.robot import Observation, WallClock
from demoloop.teleop.bench import Bench
from demoloop.teleop.driver import Driver
from demoloop.teleop.look import Listener, Look, Phase, Progress, Shown
from demoloop.teleop.take import Take

_LATE = 1.5  # periods between two steps


class Teller:
    """What a session says of itself, gathered in one place.

    Attributes:
        phase: What goes on.
        task: What is shown, in a sentence.
        problem: What a person should know, in a sentence; empty while all is well.
        countdown: Seconds left; None when nobody counts.
        kept: Episodes the dataset has.
        aim: The mark that is set next by who points without naming one.
    """

    def __init__(
        self, bench: Bench, driver: Driver, wanted: int, task: str, clock: WallClock
    ) -> None:
        """Stores."""
        self.phase: Phase = "moving"
        self.task, self.problem, self.kept = task, "", 0
        self.countdown: float | None = None
        self.notes: tuple[str, ...] = ()
        self.aim = "" if bench.marks is None else bench.marks.names[0]
        self._bench, self._driver, self._wanted, self._clock = bench, driver, wanted, clock
        self._listeners: list[Listener] = []
        self._take: Take | None = None
        self._results: tuple[Shown, ...] = ()
        self._told: Progress | None = None
        self._look: Look | None = None
        self._looked_at = self._decided_at = 0.0
        self._num_late = 0

    def listen(self, listener: Listener) -> None:
        """Tells this one too, from now on."""
        self._listeners.append(listener)
        self._told = None

    def enter(self, phase: Phase) -> None:
        """Another phase begins."""
        self.phase, self.countdown = phase, None
        self.tell()

    def begin(self, take: Take) -> None:
        """A recording begins."""
        self._take, self.notes, self._num_late, self._looked_at = take, (), 0, 0.0

    def end(self, number: int) -> None:
        """The recording has ended, and may become the episode of this number."""
        if self._look is not None:
            for listener in self._listeners:
                listener.thumbnail(number, self._look.draw)

    def judged(self, results: tuple[Shown, ...], kept: int) -> None:
        """It was kept or dropped."""
        self._take, self._results, self.kept = None, results, kept

    def look(self, observation: Observation, decided_at: float) -> None:
        """Shows one instant.

        Args:
            observation: What the robot saw.
            decided_at: When somebody decided last [s, monotonic]; what is said to a device later
                is not in the action that followed.
        """
        take, driver, now = self._take, self._driver, self._clock.now()
        if self.phase == "recording":
            self._num_late += 0.0 < self._looked_at < now - _LATE / self._bench.hz
            self._looked_at = now
        # A picture taken before an action shows the effect of the one before.
        until = decided_at if self._bench.shows_actions else self._decided_at
        self._decided_at = decided_at
        size = len(observation.proprioception) // 2
        self._look = Look(
            time=observation.time,
            shows_until=until,
            phase=self.phase,
            step=take.num_steps if take else 0,
            seconds=take.seconds if take else 0.0,
            countdown=self.countdown,
            joints=tuple(observation.proprioception[:size].tolist()),
            target=driver.target,
            is_engaged=driver.is_engaged,
            num_late=self._num_late,
            who=driver.who,
            status=driver.status,
            seen=driver.seen,
            draw=self._bench.pictures(observation),
        )
        for listener in self._listeners:
            listener.look(self._look)

    def tell(self) -> None:
        """Tells how far it has come, if that has changed."""
        take = self._take
        pending = () if take is None else (self._pending(take),)
        progress = Progress(
            phase=self.phase,
            task=self.task,
            notes=self.notes,
            agent=self._driver.name,
            kept=self.kept,
            wanted=self._wanted,
            episodes=self._results + pending,
            drops={} if take is None else dict(take.drops),
            problem=self.problem,
            armed=self._bench.state,
            marking="" if self._bench.marks is None else self._bench.marks.camera,
            pointed=dict(self._bench.pointed),
            aim=self.aim,
        )
        if progress != self._told:
            self._told = progress
            for listener in self._listeners:
                listener.progress(progress)

    def _pending(self, take: Take) -> Shown:
        number = len(self._results) + 1
        if self.phase == "recording":  # counted by each `Look`, and not news each time
            return Shown(number, 0.0, 0, "pending", take.seed)
        return Shown(number, take.seconds, take.num_steps, "pending", take.seed, take.success)
