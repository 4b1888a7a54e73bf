"""A loop that looks and shows more often than it decides: what a person sees moves smoothly."""

from __future__ import annotations

from demoloop.robot import Action, Agent, Observation, Robot, WallClock


class Paced:
    """An agent that decides at one step in so many, and says the same until then.

    So an episode recorded at the control rate says exactly what was sent, however often the loop
    looks meanwhile.

    Attributes:
        is_new: Whether the last decision was one.
        decided_at: When it was asked for, s on the clock of the loop; for who wants to know what
            had been said by then.
    """

    def __init__(self, inner: Agent, every: int, clock: WallClock) -> None:
        """Stores; `every`: steps for each decision."""
        self.is_new = True
        self.decided_at = 0.0
        self._inner, self._every, self._clock = inner, every, clock
        self._num_steps = 0
        self._action: Action | None = None

    def reset(self) -> None:
        """Decides at the next step."""
        self._inner.reset()
        self._num_steps, self._action = 0, None

    def decide(self, observation: Observation) -> Action:
        """Returns the inner agent's decision, or the last one again."""
        self.is_new = self._action is None or self._num_steps % self._every == 0
        self._num_steps += 1
        if self.is_new or self._action is None:
            self.decided_at = self._clock.now()
            self._action = self._inner.decide(observation)
        return self._action


class AsItStands:
    """A robot whose episode begins where it is, since somebody has brought it there."""

    def __init__(self, robot: Robot) -> None:
        """Stores."""
        self.spec = robot.spec
        self._robot = robot

    def reset(self) -> None:
        """Nothing: it is there."""

    def observe(self) -> Observation:
        """As the robot within."""
        return self._robot.observe()

    def act(self, action: Action) -> Action:
        """As the robot within."""
        return self._robot.act(action)

    def close(self) -> None:
        """Whoever opened the robot closes it."""
