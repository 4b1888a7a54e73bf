"""Runs a robot in real time with a policy that is served elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from demoloop.deploy.chunks import REPLAN_EVERY
from demoloop.deploy.client import Arrival, RemotePolicy
from demoloop.deploy.events import OnEvent, ignore
from demoloop.deploy.guard import guard_episode
from demoloop.deploy.motion import State
from demoloop.deploy.remote_agent import RemoteAgent
from demoloop.deploy.report import EpisodeReport, Quantiles, RunReport, Stretch
from demoloop.deploy.vitals import Vitals
from demoloop.robot import Action, Observation, OnStep, Robot
from demoloop.robot.realtime import RealtimeClock


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

    def __init__(self, agent: RemoteAgent, on_change: Callable[[str, State, str], None]) -> None:
        self.ages_ms: list[float] = []
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
            self.ages_ms.append(agent.age_s * 1e3)
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

    Raises:
        DeployError: The server changed to a policy that does not fit the robot.
    """
    guard_hz = guard_hz or robot.spec.control_hz
    vitals = vitals or Vitals(policy, guard_hz, num_episodes)
    arrivals: list[tuple[float, float]] = []  # (round trip, inference) [ms]

    def on_arrival(arrival: Arrival) -> None:
        arrivals.append((arrival.round_trip_ms, arrival.inference_ms))
        vitals.arrive(arrival)

    def on_change(before: str, state: State, reason: str) -> None:
        vitals.enter(state, reason)
        change = {"from": before, "to": state, "reason": reason}
        on_event("transition", policy.session, **change)

    agent = RemoteAgent(policy, replan_every=replan_every, on_arrival=on_arrival)
    stop = stop or threading.Event()
    episodes: list[EpisodeReport] = []
    ages_ms: list[float] = []
    while len(episodes) < num_episodes and not stop.is_set():
        timeline = _Timeline(agent, on_change)
        seconds = max_steps / robot.spec.control_hz
        vitals.begin()
        episode = _run_one(robot, agent, timeline, vitals, seconds, has_succeeded, stop, on_step)
        vitals.end(episode.success)
        on_event("episode", policy.session, number=len(episodes), **episode.brief())
        episodes.append(episode)
        ages_ms += timeline.ages_ms
        if on_episode is not None:
            on_episode(episode)
    return RunReport(
        robot=robot.spec.name,
        server=policy.endpoint,
        policy=policy.policy,
        control_hz=robot.spec.control_hz,
        replan_every=replan_every,
        was_interrupted=stop.is_set(),
        episodes=tuple(episodes),
        round_trip_ms=Quantiles.of([trip for trip, _ in arrivals]),
        inference_ms=Quantiles.of([inference for _, inference in arrivals]),
        chunk_age_ms=Quantiles.of(ages_ms),
        num_chunks=len(arrivals),
        num_stale=agent.num_stale,
        num_dropped=policy.num_dropped,
    )


def _run_one(
    robot: Robot,
    agent: RemoteAgent,
    timeline: _Timeline,
    vitals: Vitals,
    seconds: float,
    has_succeeded: Callable[[], bool] | None,
    stop: threading.Event,
    on_step: OnStep | None,
) -> EpisodeReport:
    def listen(observation: Observation, sent: Action) -> None:
        timeline.note()
        vitals.tick(agent, clock.lateness_s, clock.num_skipped, clock.is_late)
        if on_step is not None:
            on_step(observation, sent)

    def is_over() -> bool:
        return stop.is_set() or (has_succeeded is not None and has_succeeded())

    guard_hz = vitals.guard_hz
    clock = ListeningClock(agent, guard_hz)
    report = guard_episode(
        robot, agent, seconds, guard_hz=guard_hz, on_step=listen, is_over=is_over, clock=clock
    )
    loop = report.loop
    timeline.close()
    return EpisodeReport(
        success=None if has_succeeded is None else has_succeeded(),
        num_steps=loop.num_steps,
        num_late=loop.num_late,
        worst_lateness_ms=round(loop.worst_lateness_s * 1e3, 3),
        num_skipped=loop.num_skipped,
        refusals=report.refusals,
        timeline=tuple(timeline.stretches),
    )
