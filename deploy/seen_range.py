"""Whether a policy knows states like this one: the range of each joint it saw in training.

A network answers to any input, and says nothing of use where it never was. A little outside is
reported and still answered, since a policy is asked to generalise; far outside there is no answer,
and a robot without an answer comes to rest.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from demoloop.deploy.chunks import ActionChunk, Predictor
from demoloop.deploy.errors import OutsideError
from demoloop.deploy.events import OnEvent, ignore
from demoloop.robot import Action, Agent, Observation, RobotSpec
from demoloop.robot.card import PolicyCard

_log = logging.getLogger(__name__)

POSITION_SHARES = (0.25, 0.05)
"""A position may leave the seen range by a quarter of its span, the distance over which a network
may be hoped to generalise, and a twentieth of the joint's own range: a joint that hardly moved in
training has no span, and servos of a hobby arm are off by a degree or two."""
GRIPPER_SHARES = (0.25, 0.3)
"""A gripper by more: one that misses closes further than any that held something."""
VELOCITY_SHARES = (1.0, 0.25)
"""A velocity by its whole span and a quarter of the joint's greatest: it is noisy, it is foreseen
rather than measured while answers are late, and a nudge changes it for an instant only."""
NOTED = 0.2
"""Of these margins is passed in silence; the rest is reported once per joint."""


class SeenRange:
    """What was seen in training, and how far outside it is too far."""

    def __init__(self, card: PolicyCard) -> None:
        self.names = card.proprioception_names
        self.low = np.array(card.proprioception_low)  # (P,)
        self.high = np.array(card.proprioception_high)  # (P,)
        self.margin = _margins(card.spec, self.names, self.high - self.low)  # (P,)

    def excess(self, proprioception: NDArray[np.float32]) -> NDArray[np.float64]:
        """Returns how far each value (P,) is outside, in margins; 0 inside, above 1 too far."""
        values = proprioception.astype(np.float64)
        outside = np.maximum(self.low - values, values - self.high)
        excess: NDArray[np.float64] = np.maximum(outside, 0.0) / self.margin
        return np.where(np.isfinite(values), excess, np.inf)


def _margins(
    spec: RobotSpec, names: Sequence[str], spans: NDArray[np.float64]
) -> NDArray[np.float64]:
    margins = []
    joints = {joint.name: joint for joint in spec.joints}
    for name, span in zip(names, spans, strict=True):
        joint = joints.get(name.rpartition(".")[0])
        if joint is None:  # a reading of somebody else's robot, of which only the span is known
            margins.append(VELOCITY_SHARES[0] * span + 1e-3)
        elif name.endswith(".vel"):
            share, floor = VELOCITY_SHARES
            margins.append(share * span + floor * joint.max_velocity)
        else:
            share, floor = GRIPPER_SHARES if joint.unit == "opening" else POSITION_SHARES
            margins.append(share * span + floor * (joint.high - joint.low))
    return np.array(margins)


class WithinSeenRange:
    """A policy that is asked only about states near those it saw in training.

    Args:
        policy: What answers.
        card: Its contract.
        on_event: Hears once of each joint that left the range, as `outside` with name, value and
            range.
    """

    def __init__(self, policy: Predictor, card: PolicyCard, on_event: OnEvent = ignore) -> None:
        self._policy = policy
        self._range = SeenRange(card)
        self._on_event = on_event
        self._columns = [
            policy.spec.proprioception_names.index(name) for name in card.proprioception_names
        ]
        self._noted: set[str] = set()

    @property
    def spec(self) -> RobotSpec:
        """The robot it was trained for."""
        return self._policy.spec

    def predict(self, observation: Observation) -> ActionChunk:
        """Returns the policy's chunk.

        Raises:
            OutsideError: A joint is further outside than the margin.
        """
        num_values = len(self.spec.proprioception_names)
        if observation.proprioception.shape == (num_values,):  # else the policy says what is wrong
            self._check(observation.proprioception[self._columns])
        return self._policy.predict(observation)

    def _check(self, proprioception: NDArray[np.float32]) -> None:
        excess = self._range.excess(proprioception)
        for index in np.flatnonzero(excess > NOTED):
            name = self._range.names[index]
            if name not in self._noted:
                self._noted.add(name)
                self._note(int(index), float(proprioception[index]))
        worst = int(excess.argmax())
        if excess[worst] > 1.0:
            raise OutsideError(
                f"{self._say(worst, float(proprioception[worst]))}, further than the margin of "
                f"{self._range.margin[worst]:.3f}: bring the arm back to where it was shown, or "
                "train on demonstrations from here"
            )

    def _note(self, index: int, value: float) -> None:
        low, high = self._range.low[index], self._range.high[index]
        self._on_event(
            "outside", name=self._range.names[index], value=value, low=float(low), high=float(high)
        )
        _log.warning("%s; said once", self._say(index, value))

    def _say(self, index: int, value: float) -> str:
        low, high = self._range.low[index], self._range.high[index]
        return (
            f"{self._range.names[index]} is {value:.3f}, outside the range {low:.3f} to "
            f"{high:.3f} that the policy saw in training"
        )


class StillOutside:
    """An agent that keeps the arm where it is while its policy is too far from what it saw.

    With it simulation judges what a served robot does, which holds when it gets no answer.
    """

    def __init__(self, agent: Agent, spec: RobotSpec) -> None:
        self._agent = agent
        self._spec = spec
        self._last: Action | None = None

    def reset(self) -> None:
        """Another episode begins."""
        self._agent.reset()
        self._last = None

    def decide(self, observation: Observation) -> Action:
        """Returns the agent's target, or the last one again."""
        try:
            self._last = self._agent.decide(observation)
        except OutsideError:
            if self._last is None:
                positions = observation.proprioception[: self._spec.action_dim]
                self._last = np.clip(positions, self._spec.low, self._spec.high)
        return self._last
