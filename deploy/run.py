"""Runs a robot in real time with a policy that is served elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from demoloop.deploy.chunks import REPLAN_EVERY
from demoloop.deploy.client import Arrival, RemotePolicy
from demoloop.deploy.events import OnEvent, ignore
from demoloop.deploy.guard import guard_episode
from demoloop.deploy.io_desk import Overseer
from demoloop.deploy.motion import State
from demoloop.deploy.relaxation import Relaxation
from demoloop.deploy.remote_agent import RemoteAgent
from demoloop.deploy.report import EpisodeReport, Quantiles, RunReport, Sample, Stretch
from demoloop.deploy.standing import Halted, Stoppable
from demoloop.deploy.vitals import Vitals
from demoloop.robot import Action, Observation, OnStep, Robot
from demoloop.robot.realtime import RealtimeClock

_LOOK_EVERY_S = 0.02  # while the arm must not move between two episodes


class ListeningClock(RealtimeClock):
    """Real time whose slack is spent listening, so that a chunk is timed when it comes.

    It notes how the ticks keep their time while they do; `LoopReport` says it at the end.
    """

    def __init__(self, agent: RemoteAgent, hz: float) -> None:
        super().__init__()
        self.lateness_s = 0.0  # of the last waking
        self.is_late = False  # the work before it was not done at its deadline
        self.num_skipped = 0  # deadlines between the last two
        self._agent = agent
        self._hz = hz
        self._deadline: float | None = None  # the one before

    def sleep_until(self, deadline: float) -> None:
        """Returns at `deadline` [s], at once when it has passed."""
        if self._deadline is not None:
            self.num_skipped = max(0, round((deadline - self._deadline) * self._hz) - 1)
            self.is_late = self.num_skipped > 0 or self.now() > deadline
        self._deadline = deadline
        self._agent.listen(deadline)
        super().sleep_until(deadline)
        self.lateness_s = self.now() - deadline


class _Timeline:
    """Listens to the steps of one episode and notes the agent's states."""

    def __init__(
        self,
        agent: RemoteAgent,
        on_change: Callable[[str, State, str], None],
        ages_ms: Sample,
    ) -> None:
        self.ages_ms = ages_ms
        self.stretches: list[Stretch] = []
        self._agent = agent
        self._on_change = on_change  # hears of the state before, empty at first, state and reason
        self._start: float | None = None

    def note(self) -> None:
        """Notes one step."""
        if self._start is None:
            self._start = time.monotonic()
        agent = self._agent
        if agent.state == "running":
            self.ages_ms.add(agent.age_s * 1e3)
        now = self.close()  # a state lasts until the step that finds another
        last = self.stretches[-1] if self.stretches else None
        if last is None or (last.state, last.reason) != (agent.state, agent.reason):
            self.stretches.append(Stretch(agent.state, agent.reason, now, now))
            self._on_change("" if last is None else last.state, agent.state, agent.reason)

    def close(self) -> float:
        """Ends the present stretch; returns when that is [s since the first step]."""
        now = 0.0 if self._start is None else round(time.monotonic() - self._start, 4)
        if self.stretches:
            self.stretches[-1] = replace(self.stretches[-1], end_s=now)
        return now


def run_remote(
    robot: Robot,
    policy: RemotePolicy,
    *,
    num_episodes: int,
    max_steps: int,
    replan_every: int = REPLAN_EVERY,
    guard_hz: float | None = None,
    has_succeeded: Callable[[], bool] | None = None,
    stop: threading.Event | None = None,
    on_step: OnStep | None = None,
    on_episode: Callable[[EpisodeReport], None] | None = None,
    on_event: OnEvent = ignore,
    vitals: Vitals | None = None,
    overseer: Overseer | None = None,
    relax_after_s: float | None = None,
) -> RunReport:
    """Runs episodes with the policy at the other end of `policy`, which is connected.

    Args:
        robot: Whose joints move.
        policy: The connection to the server.
        num_episodes: At most so many.
        max_steps: Control periods of one episode.
        replan_every: Control periods from one question to the next.
        guard_hz: Ticks per second; None for the control rate.
        has_succeeded: Ends an episode when it says so; None for a robot that cannot tell.
        stop: Ends the run after the present step once it is set.
        on_step: Listens to each step.
        on_episode: Hears of each episode when it is over.
        on_event: Hears of each change of state and each episode.
        vitals: Keeps what others may look at meanwhile.
        overseer: Looks on, and may hold the arm or end the run; an episode begins only while the
            arm may move.
        relax_after_s: See `Relaxation`.

    Raises:
        DeployError: The server changed to a policy that does not fit the robot.
    """
    vitals = vitals or Vitals(policy, guard_hz or robot.spec.control_hz, num_episodes)
    samples = _Samples()

    def on_arrival(arrival: Arrival) -> None:
        samples.round_trip_ms.add(arrival.round_trip_ms)
        samples.inference_ms.add(arrival.inference_ms)
        vitals.arrive(arrival)

    permission = None if overseer is None else overseer.permission
    agent = RemoteAgent(
        policy, replan_every=replan_every, permission=permission, on_arrival=on_arrival
    )
    relaxation = Relaxation(robot, relax_after_s)
    if overseer is not None:
        overseer.begin(agent, relaxation)
    if isinstance(robot, Stoppable) and permission is not None:
        robot = Halted(robot, permission)
    stop = stop or threading.Event()
    run = _Run(
        robot, agent, policy, vitals, relaxation, overseer, stop, has_succeeded, on_step, on_event,
        samples,
    )  # fmt: skip
    episodes: list[EpisodeReport] = []
    while len(episodes) < num_episodes and run.waits_until_it_may_begin():
        episode = run.episode(max_steps / robot.spec.control_hz)
        on_event("episode", policy.session, number=len(episodes), **episode.brief())
        episodes.append(episode)
        if on_episode is not None:
            on_episode(episode)
    return run.report(tuple(episodes))


@dataclass(frozen=True)
class _Samples:
    """What was measured over all episodes."""

    round_trip_ms: Sample = field(default_factory=Sample)
    inference_ms: Sample = field(default_factory=Sample)
    chunk_age_ms: Sample = field(default_factory=Sample)


@dataclass(frozen=True)
class _Run:
    """What the episodes of one run share."""

    robot: Robot
    agent: RemoteAgent
    policy: RemotePolicy
    vitals: Vitals
    relaxation: Relaxation
    overseer: Overseer | None
    stop: threading.Event
    has_succeeded: Callable[[], bool] | None
    on_step: OnStep | None
    on_event: OnEvent
    samples: _Samples

    @property
    def must_end(self) -> bool:
        """Whether the run is over, however many episodes are left."""
        return self.stop.is_set() or (self.overseer is not None and self.overseer.has_ended)

    def waits_until_it_may_begin(self) -> bool:
        """Waits while the arm must not move, since an episode begins with a movement.

        Returns:
            Whether to begin; not when the run is to end instead.
        """
        permission = None if self.overseer is None else self.overseer.permission
        while not self.must_end:
            if self.overseer is not None:
                self.overseer.look(self.vitals)
            self.policy.collect()  # keeps the line alive
            if permission is None or not permission.ban:
                return not self.must_end
            state: State = "stopped" if permission.is_stopped else "holding"
            if (self.vitals.state, self.vitals.reason) != (state, permission.ban):
                self._change(self.vitals.state, state, permission.ban)
            self.stop.wait(_LOOK_EVERY_S)
        return False

    def episode(self, seconds: float) -> EpisodeReport:
        """Runs one."""
        timeline = _Timeline(self.agent, self._change, self.samples.chunk_age_ms)
        clock = ListeningClock(self.agent, self.vitals.guard_hz)

        def listen(observation: Observation, sent: Action) -> None:
            timeline.note()
            self.vitals.tick(self.agent, clock.lateness_s, clock.num_skipped, clock.is_late)
            self.relaxation.look(self.agent.motion)
            if self.overseer is not None:
                self.overseer.look(self.vitals, observation)
            if self.on_step is not None:
                self.on_step(observation, sent)

        def is_over() -> bool:
            return self.must_end or (self.has_succeeded is not None and self.has_succeeded())

        self.vitals.begin()
        self.relaxation.recover()
        report = guard_episode(
            self.robot,
            self.agent,
            seconds,
            guard_hz=self.vitals.guard_hz,
            on_step=listen,
            is_over=is_over,
            clock=clock,
        )
        timeline.close()
        success = None if self.has_succeeded is None else self.has_succeeded()
        self.vitals.end(success)
        return EpisodeReport(
            success=success,
            num_steps=report.loop.num_steps,
            num_late=report.loop.num_late,
            worst_lateness_ms=round(report.loop.worst_lateness_s * 1e3, 3),
            num_skipped=report.loop.num_skipped,
            refusals=report.refusals,
            timeline=tuple(timeline.stretches),
        )

    def report(self, episodes: tuple[EpisodeReport, ...]) -> RunReport:
        """Returns what came of it."""
        return RunReport(
            robot=self.robot.spec.name,
            server=self.policy.endpoint,
            policy=self.policy.policy,
            control_hz=self.robot.spec.control_hz,
            replan_every=self.agent.replan_every,
            was_interrupted=self.stop.is_set(),
            episodes=episodes,
            round_trip_ms=Quantiles.of(self.samples.round_trip_ms),
            inference_ms=Quantiles.of(self.samples.inference_ms),
            chunk_age_ms=Quantiles.of(self.samples.chunk_age_ms),
            num_chunks=self.samples.round_trip_ms.count,
            num_stale=self.agent.num_stale,
            num_dropped=self.policy.num_dropped,
        )

    def _change(self, before: str, state: State, reason: str) -> None:
        self.vitals.enter(state, reason)
        change = {"from": before, "to": state, "reason": reason}
        self.on_event("transition", self.policy.session, **change)
