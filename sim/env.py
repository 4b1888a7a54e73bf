"""The tasks as Gymnasium environments, for whoever has a method that expects one.

Importing `demoloop.sim` registers `demoloop/PickPlace-v0` and its sisters:

    import gymnasium
    import demoloop.sim
    env = gymnasium.make("demoloop/PickPlace-v0", render_mode="rgb_array")
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from demoloop.robot import Action, Observation, check_action
from demoloop.sim.errors import SimError
from demoloop.sim.make import make_robot
from demoloop.sim.randomize import Randomization
from demoloop.sim.tasks import TASKS

_RENDER_SIZE = (240, 320)  # px

Values = dict[str, Any]  # name -> array; the type Gymnasium gives its Dict space


class _NextSeed:
    """Hands a robot the seed of its next episode, for ever."""

    value = 0

    def __iter__(self) -> _NextSeed:
        return self

    def __next__(self) -> int:
        return self.value


class TaskEnv(gymnasium.Env[Values, Action]):
    """One task of the SO-101: reward 1 in the step that solves it, 0 before.

    An observation is a dict of `proprioception` and one RGB image per camera; an action is joint
    targets [rad], the gripper last, 0 closed .. 1 open. An episode ends when physics says the
    task is solved, and is truncated after the task's time.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 25}  # noqa: RUF012 - Gymnasium's own

    def __init__(
        self,
        task: str,
        render_mode: str | None = None,
        randomization: Randomization | None = None,
    ) -> None:
        """Builds the world.

        Args:
            task: Name of the task.
            render_mode: "rgb_array" for `render` to return what a spectator sees.
            randomization: How much the world differs from episode to episode.

        Raises:
            SimError: There is no such task or render mode.
        """
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise SimError(f"{task} renders in mode 'rgb_array', not {render_mode!r}")
        self._seed = _NextSeed()
        self._robot = make_robot(task, self._seed, randomization=randomization)
        self.render_mode = render_mode
        self._num_steps = 0
        spec = self._robot.spec
        self.action_space = spaces.Box(spec.low, spec.high, dtype=np.float32)
        size = len(spec.proprioception_names)
        parts: dict[str, spaces.Space[Any]] = {
            "proprioception": spaces.Box(-np.inf, np.inf, (size,), np.float32)
        }
        for camera in spec.cameras:
            shape = (camera.height, camera.width, 3)
            parts[camera.name] = spaces.Box(0, 255, shape, np.uint8)
        self.observation_space = spaces.Dict(parts)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Values, dict[str, Any]]:
        """Starts an episode: that of `seed`, or the next of the stream that `seed` once began."""
        super().reset(seed=seed)
        # The seed of the world itself, so that an episode here is the one `evaluate` judges.
        self._seed.value = int(self.np_random.integers(2**31)) if seed is None else seed
        self._robot.reset()
        self._num_steps = 0
        return _values(self._robot.observe()), {"seed": self._robot.seed}

    def step(self, action: Action) -> tuple[Values, float, bool, bool, dict[str, Any]]:
        """Holds `action` for one control period; raises ActionError when it is beyond a limit."""
        self._robot.act(check_action(self._robot.spec, action))
        self._num_steps += 1
        is_solved = self._robot.succeeded()
        is_over = self._num_steps >= self._robot.max_steps and not is_solved
        values = _values(self._robot.observe())
        return values, float(is_solved), is_solved, is_over, {"success": is_solved}

    def render(self) -> NDArray[np.uint8] | None:
        """Returns what a spectator sees, (240, 320, 3) uint8 RGB; None without a render mode."""
        if self.render_mode is None:
            return None
        return self._robot.render("spectator", *_RENDER_SIZE, shadows=True)

    def close(self) -> None:
        """Frees the renderers."""
        self._robot.close()


def register_envs() -> None:
    """Makes every task known to `gymnasium.make`, named `demoloop/PickPlace-v0` and alike."""
    for name in TASKS:
        title = "".join(word.capitalize() for word in name.split("_"))
        gymnasium.register(
            f"demoloop/{title}-v0", "demoloop.sim.env:TaskEnv", kwargs={"task": name}
        )


def _values(observation: Observation) -> Values:
    return {"proprioception": observation.proprioception, **observation.images}
