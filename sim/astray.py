"""Demonstrations that begin where a policy's mistake has led: so that recoveries are shown too."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demoloop.robot import Action, Agent, Observation, OnStep
from demoloop.sim.emulated import EmulatedRobot
from demoloop.sim.errors import SimError
from demoloop.sim.expert import Goal, Vector
from demoloop.sim.grasp import CLOSED, OPEN, GraspExpert
from demoloop.sim.robot import SimRobot

SHARE = 0.3
"""Of the demonstrations. An expert hardly ever misses: of 200 plain ones of pick_place, one showed
a second try. With this share 100 demonstrations teach what 200 plain ones did (docs/results.md)."""

_STEPS = (40, 12, 30)  # at most, for going beside the thing, closing on nothing, wandering off


@dataclass(frozen=True)
class _Blunder:
    """What the hand does before the expert pulls itself together."""

    beside: Vector  # (3,) m, where it grasps, counted from the thing
    turn: float  # rad, off the right yaw
    opening: float  # after the grasp
    onwards: Vector  # (3,) m, where it then goes, counted from where it grasped


def check_recoveries(share: float) -> None:
    """Raises SimError for what is no share."""
    if not 0 <= share <= 1:
        raise SimError(f"--recoveries is {share}; a share of the demonstrations is 0 to 1")


def demonstrator(
    robot: SimRobot | EmulatedRobot, person: int = 0, recoveries: float = SHARE
) -> Agent:
    """Returns the expert of the robot's task, in a share of the episodes astray if it grasps."""
    check_recoveries(recoveries)
    expert = robot.task.make_expert(robot, person)
    return Astray(expert, recoveries) if isinstance(expert, GraspExpert) else expert


def leaving_out_blunders(agent: Agent, on_step: OnStep) -> OnStep:
    """Returns a listener that hears only what should be learned from."""
    if not isinstance(agent, Astray):
        return on_step

    def listen(observation: Observation, action: Action) -> None:
        if not agent.is_astray:
            on_step(observation, action)

    return listen


class Astray:
    """An expert who, in a share of the episodes, first grasps beside the thing and wanders off.

    Nobody should learn that part: record with `leaving_out_blunders`. What is heard then begins
    with a hand that is closed, or elsewhere, or has pushed the thing away, and shows the way
    back: the right answers at wrong places, which behaviour cloning otherwise never sees (Ross
    et al. 2011, arXiv 1011.0686).
    """

    def __init__(self, expert: GraspExpert, share: float) -> None:
        self.expert = expert
        self.share = share
        self.is_astray = False

    def reset(self) -> None:
        """Draws whether this episode goes astray, and how."""
        self.expert.reset()
        # A stream of its own: the other draws of an episode stay what they are.
        rng = np.random.default_rng((self.expert.robot.seed, self.expert.person, 9))
        self.is_astray = rng.random() < self.share
        angle, radius = rng.uniform(-np.pi, np.pi), rng.uniform(0.0, 0.035)
        self._blunder = _Blunder(
            beside=np.array(
                [radius * np.cos(angle), radius * np.sin(angle), rng.uniform(0.0, 0.04)]
            ),
            turn=rng.normal(0.0, 0.4),
            opening=CLOSED if rng.random() < 0.8 else OPEN,
            onwards=np.append(rng.normal(0.0, 0.04, 2), rng.uniform(0.0, 0.09)),
        )
        self._stage, self._left = 0, _STEPS[0]
        self._goal: Goal | None = None

    def decide(self, observation: Observation) -> Action:
        """The blunder while it lasts, then the expert."""
        action = self._stray() if self.is_astray else None
        return self.expert.decide(observation) if action is None else action

    def _stray(self) -> Action | None:
        hand, blunder = self.expert.hand, self._blunder
        position, yaw = hand.pose()
        is_there = self._goal is not None and (
            np.linalg.norm(self._goal.position - position) < 0.008 and self._stage != 1
        )
        if self._left == 0 or is_there:
            self._stage, self._goal = self._stage + 1, None
            if self._stage == len(_STEPS):
                self.is_astray = False
                return None
            self._left = _STEPS[self._stage]
        self._left -= 1
        if self._goal is None:
            thing = self.expert.robot.data.body(self.expert.wanted).xpos
            self._goal = (
                Goal(thing + blunder.beside, self.expert.radial(thing) + blunder.turn, OPEN),
                Goal(position, yaw, blunder.opening),
                Goal(position + blunder.onwards, yaw, blunder.opening),
            )[self._stage]
        return hand.move(self._goal)
